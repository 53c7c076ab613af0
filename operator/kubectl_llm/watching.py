"""Looking again and again: polls with patience for an API server that is away for a moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from llm_operator.cluster.errors import ClusterUnavailable

T = TypeVar("T")


async def looks(
    look: Callable[[], Awaitable[T]], interval_seconds: float, timeout_seconds: float | None = None
) -> AsyncIterator[T | ClusterUnavailable]:
    """Yield what there is to see, every ``interval_seconds``, until the time is over.

    The first look must succeed. Later, no answer is yielded as an error and is no end; what the
    API server says for good (not found, forbidden, unknown user) is raised.
    """
    loop = asyncio.get_running_loop()
    ends_at = None if timeout_seconds is None else loop.time() + timeout_seconds
    yield await look()
    while True:
        pause = interval_seconds
        if ends_at is not None:
            pause = min(pause, ends_at - loop.time())
            if pause <= 0:
                return
        await asyncio.sleep(pause)
        try:
            seen: T | ClusterUnavailable = await look()
        except ClusterUnavailable as error:
            if error.status == 401:
                raise
            seen = error
        yield seen
