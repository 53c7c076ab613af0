"""One connection of the API port: uvicorn's, bounded where uvicorn bounds nothing.

uvicorn ends a connection that idles between two requests. Here the rest gets its bounds: how many
connections there are, how large the head of a request may be (request line and header fields, and
the trailer fields of a chunked body), and how long a head may take. What is refused here has not
reached the gate.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from llm_server.errors import ServingError, Unavailable
from llm_server.http import errors
from llm_server.http.errors import Unreadable

_LOG = structlog.get_logger()

_LINGER_SECONDS = 1.0
"""How long a refused client may go on sending before the connection is closed."""

_MAX_REFUSALS = 128
"""So many beyond the bound are told why; the others are closed without a word."""

_FIELD_OVERHEAD_BYTES = 4  # the colon, the blank and the end of the line


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """``max_open`` is of all connections together, the others of each request."""

    max_open: int
    max_head_bytes: int = 64 * 1024
    head_seconds: float = 20.0


class ApiConnection(HttpToolsProtocol):
    """Made by uvicorn, one per connection; ``uvicorn`` is what it passes to its protocols."""

    def __init__(self, limits: ConnectionLimits, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._limits = limits
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._head_is_open = False
        self._head_bytes = 0
        self._bytes_without_progress = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it because there are too many."""
        super().connection_made(transport)
        self._close_in(self._limits.head_seconds)
        excess = len(self.connections) - self._limits.max_open
        if excess > _MAX_REFUSALS:
            transport.abort()
        elif excess > 0:
            self._refuse(_too_many(self._limits.max_open))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and bound what the parser keeps to itself: a field that does not end."""
        if self._refused:
            return
        self._bytes_without_progress += len(data)
        super().data_received(data)
        if self._refused:
            return
        if self._bytes_without_progress > self._limits.max_head_bytes:
            self._refuse(_head_too_large(self._limits.max_head_bytes))
        elif self._timer is None and (self._head_is_open or not self._is_answering):
            self._close_in(self._limits.head_seconds)

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._head_is_open = True
        self._head_bytes = self._bytes_without_progress = 0

    def on_url(self, url: bytes) -> None:
        """Count a part of the request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a field of the head or of the trailer."""
        self._count(len(name) + len(value) + _FIELD_OVERHEAD_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there in time."""
        self._head_is_open = False
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """The body has its own bounds, in ``endpoints``."""
        self._bytes_without_progress = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request; its answer may take as long as it likes."""
        self._bytes_without_progress = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser gave up on, because of our exception or of its own."""
        if self._head_bytes > self._limits.max_head_bytes:
            self._refuse(_head_too_large(self._limits.max_head_bytes))
        else:
            self._refuse(Unreadable(msg, status=400, code="invalid_http"))

    @property
    def _is_answering(self) -> bool:
        # None before the first request, though uvicorn does not declare it so.
        return not getattr(self.cycle, "response_complete", True)

    @property
    def _is_reading_the_only_body(self) -> bool:
        cycle = self.cycle
        return cycle.more_body and not cycle.response_started and not self.pipeline

    def _abandon_cycle(self) -> None:
        """Tell the application that its client has left; what it sends then is dropped."""
        self.cycle.disconnected = self.cycle.response_complete = True
        self.cycle.message_event.set()

    def _count(self, num_bytes: int) -> None:
        self._head_bytes += num_bytes
        if self._head_bytes > self._limits.max_head_bytes:
            raise _HeadTooLarge

    def _refuse(self, error: ServingError) -> None:
        """Answer, then read on for a moment, only to throw away.

        Closing at once would reset the connection under a client that is still sending, which
        would then never see the answer (RFC 9112, 9.6). Amid another answer there is no place for
        this one; but a request whose own body cannot be read has no other.
        """
        self._refused = True
        if self._is_answering and not self._is_reading_the_only_body:
            self.transport.close()
            return
        if self._is_answering:
            self._abandon_cycle()
        response = errors.respond(error)
        response.headers["connection"] = "close"
        fields = b"".join(b"%s: %s\r\n" % field for field in response.raw_headers)
        head = STATUS_LINE[response.status_code] + fields + b"\r\n"
        self.transport.write(head + bytes(response.body))
        self.transport.write_eof()
        self._close_in(_LINGER_SECONDS)
        _LOG.info("Refused connection", status=response.status_code, reason=error.message)

    def _close_in(self, seconds: float) -> None:
        """Close after so long; an answer that is under way then goes on to its end."""
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, self.shutdown)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _HeadTooLarge(Exception):
    """Makes the parser stop."""


def _head_too_large(max_bytes: int) -> Unreadable:
    return Unreadable(
        f"The request line and the header fields must be at most {max_bytes} bytes together",
        status=431,
        code="headers_too_large",
    )


def _too_many(max_open: int) -> Unavailable:
    return Unavailable(
        f"The server is at its limit of {max_open} connections",
        code="too_many_connections",
        retry_after_seconds=1,
    )
