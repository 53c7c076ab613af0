"""The program of a client pod: many short requests to one address, counted by who answered.

Not a record of every end (``client`` is that): it sends as fast as its workers can, over
connections that are kept, and prints one JSON line. ``e2e.gateway`` starts it and reads the line.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx2

REVISION_HEADER = "x-llm-revision"
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Order:
    """How many requests to send, where to, and for whom they ask."""

    base_url: str
    model: str
    requests: int
    workers: int
    revision: str = ""


@dataclass(slots=True)
class Tally:
    """Answers by revision, and what was no answer."""

    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


async def _worker(
    client: httpx2.AsyncClient, order: Order, tally: Tally, turns: Iterator[int]
) -> None:
    message = {"role": "user", "content": "Name a colour."}
    body = {"model": order.model, "messages": [message], "max_tokens": 1}
    for _ in turns:
        try:
            response = await client.post(f"{order.base_url}/chat/completions", json=body)
        except httpx2.HTTPError as error:
            tally.failures.append(repr(error))
            continue
        if response.is_success:
            tally.answered[response.headers.get(REVISION_HEADER, "")] += 1
        else:
            tally.failures.append(f"{response.status_code} {response.text[:200]}")


async def run(order: Order) -> Tally:
    """Send all requests and return who answered them."""
    tally, turns = Tally(), iter(range(order.requests))
    headers = {REVISION_HEADER: order.revision} if order.revision else {}
    limits = httpx2.Limits(max_connections=order.workers)
    async with httpx2.AsyncClient(
        headers=headers, limits=limits, timeout=TIMEOUT_SECONDS
    ) as client:
        workers = (_worker(client, order, tally, turns) for _ in range(order.workers))
        await asyncio.gather(*workers)
    return tally


def parse(arguments: list[str] | None = None) -> Order:
    """Read the order from the command line."""
    parser = argparse.ArgumentParser(description="Count which revision answers.")
    parser.add_argument("--base-url", required=True, help="http://HOST/v1")
    parser.add_argument("--model", required=True, help="the served name")
    parser.add_argument("--requests", type=int, required=True, help="how many")
    parser.add_argument("--workers", type=int, default=8, help="how many at once")
    parser.add_argument("--revision", default="", help="hash that every request asks for")
    return Order(**vars(parser.parse_args(arguments)))


def main() -> None:
    """Run the order and print what came of it."""
    started = time.monotonic()
    tally = asyncio.run(run(parse()))
    line = {
        "answered": dict(tally.answered),
        "failed": len(tally.failures),
        "first_failures": tally.failures[:5],
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
