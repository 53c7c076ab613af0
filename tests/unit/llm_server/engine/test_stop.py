from hypothesis import given
from hypothesis import strategies as st

from llm_server.engine.stop import StopScanner

TEXTS = st.text(alphabet="ab<>|", max_size=30)
STOPS = st.lists(st.text(alphabet="ab<>|", min_size=1, max_size=4), min_size=1, max_size=3)


def scan(pieces: list[str], stops: list[str]) -> tuple[str, bool]:
    """Return the text that is shown, and whether a stop string ended it."""
    scanner = StopScanner(tuple(stops))
    shown = ""
    for piece in pieces:
        scanned = scanner.push(piece)
        shown += scanned.text
        if scanned.hit:
            return shown, True
    return shown + scanner.flush(), False


def pieces_of(text: str, cuts: list[int]) -> list[str]:
    """Cut the text at these places."""
    borders = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *borders], [*borders, len(text)], strict=True)]


@given(TEXTS, STOPS, st.lists(st.integers(0, 99), max_size=8))
def test_how_a_text_is_cut_makes_no_difference(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    """Tokens may end anywhere: the shown text and the verdict are those of the whole text."""
    assert scan(pieces_of(text, cuts), stops) == scan([text], stops)


@given(TEXTS, STOPS, st.lists(st.integers(0, 99), max_size=8))
def test_no_stop_string_is_shown(text: str, stops: list[str], cuts: list[int]) -> None:
    """What is shown is a beginning of the text and contains no stop string."""
    shown, hit = scan(pieces_of(text, cuts), stops)

    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert hit == any(stop in text for stop in stops)


def test_a_possible_beginning_is_held_back() -> None:
    """Text that may turn into a stop string is not shown before it is clear that it does not."""
    scanner = StopScanner(("</end>",))

    first, second = scanner.push("yes </e"), scanner.push("lse")

    assert (first.text, second.text) == ("yes ", "</else")


def test_the_longer_of_two_that_end_together_wins() -> None:
    """Of two stop strings that are completed by the same character, none of the longer is shown."""
    assert scan(["xab"], ["b", "ab"]) == ("x", True)
