"""What is on its way between the operator and the API server; virtual time stands meanwhile."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Wire:
    """Requests without an answer, and lines of watches that were sent and not read."""

    requests: set[object] = field(default_factory=set)
    lines: Counter[str] = field(default_factory=Counter)
    """By the process that reads them; those of an ended one count no more."""
    ended: set[str] = field(default_factory=set)
    write: object = None
    """The request of the newest write."""

    def is_awaited(self) -> bool:
        """Whether something is on its way."""
        return bool(self.requests) or any(n > 0 for n in self.lines.values())

    @contextmanager
    def request(self, *, is_write: bool) -> Iterator[None]:
        """Be on its way for as long as a request has no answer."""
        token = object()
        self.requests.add(token)
        if is_write:
            self.write = token
        try:
            yield
        finally:
            self.requests.discard(token)

    def give_up(self) -> None:
        """Let time go on although the newest write has no answer: it will get none."""
        self.requests.discard(self.write)

    def sent(self, process: str) -> None:
        """Count a line of a watch."""
        if process not in self.ended:
            self.lines[process] += 1

    def read(self, process: str) -> None:
        """Count a line that has come in."""
        self.lines[process] -= 1

    def end(self, process: str) -> None:
        """Wait for nothing more that was sent to a process."""
        self.ended.add(process)
        self.lines.pop(process, None)
