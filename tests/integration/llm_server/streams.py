"""Streams that are read in the background, for tests of what happens to them meanwhile."""

import threading
from typing import Any

from tests.server_process import RunningServer, stream_events


class StreamInBackground:
    """A stream that is read by a thread; ``events`` and ``status`` are complete after ``join``.

    Construction returns with the first event, or at once without ``wait``.
    """

    def __init__(self, server: RunningServer, max_tokens: int, *, wait: bool = True) -> None:
        self.events: list[Any] = []
        self.status: int | None = None
        self.started = threading.Event()
        self._server = server
        self._max_tokens = max_tokens
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        if wait:
            self.started.wait(60)

    def join(self) -> None:
        """Wait for the end of the stream."""
        self._thread.join()

    def _read(self) -> None:
        fields = {"model": "m", "prompt": "x", "max_tokens": self._max_tokens, "stream": True}
        with (
            self._server.client() as client,
            client.stream("POST", "/v1/completions", json=fields) as response,
        ):
            self.status = response.status_code
            for event in stream_events(response):
                self.events.append(event)
                self.started.set()
