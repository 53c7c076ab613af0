"""Stop strings: finds them across token borders and never lets a part of one out.

Pure text; used by ``output`` for each sequence that has any.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Scanned:
    """``text`` is safe to show; ``hit`` says that a stop string was completed right after it."""

    text: str
    hit: bool = False


@dataclass(slots=True)
class StopScanner:
    """Cuts a growing text before the stop string that is completed first.

    How the text is cut into pieces makes no difference: of several stop strings the one that ends
    first wins, and of two that end at the same place the longer one.
    """

    stop_strings: tuple[str, ...]
    _held: str = field(default="")

    def push(self, text: str) -> Scanned:
        """Take the next piece; return what may be shown now. Not to be called after a hit."""
        self._held += text
        ends = [
            (index + len(stop), index)
            for stop in self.stop_strings
            if (index := self._held.find(stop)) >= 0
        ]
        if ends:
            return Scanned(self._held[: min(ends)[1]], hit=True)
        safe = len(self._held) - self._possible_beginning()
        shown, self._held = self._held[:safe], self._held[safe:]
        return Scanned(shown)

    def flush(self) -> str:
        """Return what was held back: the text ended and completed no stop string."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = min(max(map(len, self.stop_strings), default=1) - 1, len(self._held))
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self.stop_strings):
                return length
        return 0
