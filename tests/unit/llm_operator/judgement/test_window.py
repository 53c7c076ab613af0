"""What the judge remembers, and how it is written into the status."""

import json
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.window import JudgementWindow
from llm_operator.judgement.counters import Counters
from llm_operator.judgement.evidence import PODS_MAX
from llm_operator.judgement.window import Baseline, Side, Window, follow
from tests.judgement_builders import START

COUNTS = st.integers(0, 10**12)
HISTOGRAMS = st.lists(COUNTS, max_size=24).map(tuple)
TIMES = st.integers(0, 10**6).map(lambda seconds: START + timedelta(seconds=seconds))
SIDES = st.builds(
    Side,
    st.frozensets(st.text("0123456789abcdef", min_size=8, max_size=8), max_size=5),
    st.builds(Counters, COUNTS, COUNTS, COUNTS, COUNTS, HISTOGRAMS, HISTOGRAMS),
)
NAMES = st.text("abcdefgh", min_size=1, max_size=8)
WINDOWS = st.builds(
    Window,
    started_at=TIMES,
    baseline=st.none()
    | st.builds(
        Baseline, TIMES, st.dictionaries(st.text("bcdfghjk", min_size=8, max_size=8), SIDES)
    ),
    breaches=st.dictionaries(NAMES, TIMES, max_size=3),
    is_missing=st.booleans(),
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(WINDOWS)
def test_a_window_survives_the_status(window: Window) -> None:
    """What is written is read again, to the last count."""
    assert Window.from_json(json.loads(json.dumps(window.to_json()))) == window


@given(WINDOWS)
def test_the_schema_takes_what_is_written(window: Window) -> None:
    """The API server stores every window as it is."""
    sides = dict(list(window.baseline.sides.items())[:2]) if window.baseline else {}
    if window.baseline is not None:
        window = replace(window, baseline=replace(window.baseline, sides=sides))
    content = window.to_json()
    stored = JudgementWindow.model_validate(content)
    assert Window.from_json(stored.model_dump(mode="json", by_alias=True)) == Window.from_json(
        content
    )


@given(WINDOWS, st.data())
def test_a_damaged_window_is_measured_again(window: Window, data: st.DataObject) -> None:
    """Whatever stands in the status, reading it raises nothing and keeps no half baseline."""
    content = window.to_json()
    path = data.draw(st.sampled_from(sorted(content)))
    content[path] = data.draw(JUNK)
    read = Window.from_json(content)
    if path == "baseline" and read is not None and read.baseline is not None:
        assert read.baseline.sides == {}


@given(JUNK)
def test_junk_is_no_window(junk: object) -> None:
    """Without a time of beginning there is none."""
    assert Window.from_json(junk) is None


def test_a_baseline_with_a_count_missing_is_taken_anew() -> None:
    """A sum of which a part was lost would turn old requests into new ones."""
    side = Side(frozenset({"aaaaaaaa"}), Counters(received=5, completed=5))
    content = Window(START, Baseline(START, {"cccccccc": side})).to_json()
    del content["baseline"]["revisions"][0]["requests"]["received"]
    read = Window.from_json(content)
    assert read is not None
    assert read.baseline is None


def test_the_largest_window_is_small() -> None:
    """Two revisions of 50 pods each after a million requests: at most 2.5 KiB of the status."""
    counters = Counters(
        1_000_000, 1_000, 990_000, 9_000, first_token=(47_619,) * 21, inter_token=(4_347_826,) * 23
    )
    boots = frozenset(f"{number:08x}" for number in range(PODS_MAX))
    baseline = Baseline(
        START, {"cccccccc": Side(boots, counters), "ssssssss": Side(boots, counters)}
    )
    content = json.dumps(Window(START, baseline).to_json(), separators=(",", ":"))
    assert len(content) <= 2560


def test_a_window_is_kept_as_long_as_it_is_the_machine_s() -> None:
    """The same beginning, in whole seconds, is the same window; none is none; another is new."""
    window = follow(None, START)
    assert window is not None
    known = replace(window, is_missing=True)
    assert follow(known, START.replace(microsecond=700)) is known
    assert follow(known, None) is None
    later = follow(known, START + timedelta(seconds=9))
    assert later == Window(START + timedelta(seconds=9))
