"""One streamed chat answer, printed as it arrives; run in a client pod by the demo and a test.

The text goes to standard output token by token; the last line on standard error is one JSON
object with the time to the first token, the whole time and the number of tokens.
"""

import argparse
import json
import sys
import time

import openai


def answer(base_url: str, model: str, prompt: str, max_tokens: int) -> dict[str, object]:
    """Stream one answer to standard output and return its figures (times in seconds)."""
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0, timeout=120)
    started, first = time.monotonic(), None
    figures: dict[str, object] = {"finish_reason": None, "tokens": 0, "chunks": 0}
    stream = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": prompt}],
        max_tokens=max_tokens,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        for choice in chunk.choices:
            if choice.delta.content:
                first = first or time.monotonic()
                figures["chunks"] = int(str(figures["chunks"])) + 1
                sys.stdout.write(choice.delta.content)
                sys.stdout.flush()
            figures["finish_reason"] = choice.finish_reason or figures["finish_reason"]
        figures["tokens"] = chunk.usage.completion_tokens if chunk.usage else figures["tokens"]
    ended = time.monotonic()
    return figures | {
        "first_token_seconds": round((first or ended) - started, 3),
        "seconds": round(ended - started, 3),
    }


def main() -> None:
    """Read the command line, stream the answer, print its figures."""
    parser = argparse.ArgumentParser(description="One streamed chat answer.")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--max-tokens", type=int, default=64)
    figures = answer(**vars(parser.parse_args()))
    sys.stdout.write("\n")
    sys.stdout.flush()
    sys.stderr.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
