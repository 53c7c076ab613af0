"""Rules of revisions: how they are hashed, recognised, numbered and kept."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm_operator.desired.identity import Identity
from llm_operator.desired.objects import render_deployment
from llm_operator.desired.revision import (
    HASH_ALPHABET,
    HASH_LENGTH,
    Revision,
    choose_target,
    hash_data,
    kept_revisions,
    make_revision,
    parse_controller_revision,
    parse_snapshot,
    render_controller_revision,
    renumber,
)

IDENTITY = Identity("default", "chat", "uid-1")
SPEC: dict[str, Any] = {"model": {"source": "builtin://tiny"}}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def a_revision(source: str = "builtin://tiny", number: int = 1, renderer: int = 1) -> Revision:
    """Return a numbered revision of a model source."""
    made = make_revision({"model": {"source": source}}, renderer, "llm-server:1")
    return Revision(made.hash, made.spec, made.renderer, made.image, number)


@given(st.dictionaries(st.text(), JSON))
def test_a_hash_is_eight_letters_and_ignores_the_order_of_keys(data: dict[str, Any]) -> None:
    """The hash is over canonical JSON."""
    reordered = json.loads(json.dumps(dict(reversed(list(data.items())))))

    hashed = hash_data(data)

    assert len(hashed) == HASH_LENGTH
    assert set(hashed) <= set(HASH_ALPHABET)
    assert hashed == hash_data(reordered)


def test_the_hash_of_a_known_revision_never_changes() -> None:
    """A hash names objects of running clusters: the algorithm is frozen."""
    assert hash_data({"spec": SPEC, "renderer": 1, "image": "llm-server:1"}) == "hgqxrt2v"


def test_a_spec_means_the_kept_revision_that_has_it_whatever_renderer_is_current() -> None:
    """An upgraded operator, with another renderer and image, restarts nothing."""
    kept = a_revision()

    target = choose_target(kept.spec, [kept], kept.hash, (2, "llm-server:2"))

    assert target == kept


def test_a_new_spec_takes_the_current_renderer_and_image() -> None:
    """Only a revision whose spec is new uses what the new operator brings."""
    kept = a_revision()

    target = choose_target(
        {"model": {"source": "builtin://simulated"}}, [kept], kept.hash, (2, "llm-server:2")
    )

    assert (target.renderer, target.image) == (2, "llm-server:2")


def test_of_two_revisions_with_the_same_spec_the_stable_one_is_meant() -> None:
    """After an upgrade and back, stable stays what serves."""
    older, newer = a_revision(number=1, renderer=1), a_revision(number=5, renderer=2)

    assert choose_target(older.spec, [newer, older], older.hash, (2, "x")) == older


def test_a_revision_gets_the_next_number_each_time_it_becomes_the_target() -> None:
    """Numbers rise as targets change, and stay while the target does."""
    first, second = a_revision("builtin://tiny", 1), a_revision("builtin://simulated", 2)

    back_again = renumber(first, [first, second])
    unchanged = renumber(second, [first, second])

    assert (back_again.number, unchanged.number) == (3, 2)


def test_a_number_written_before_a_crash_is_not_raised_twice() -> None:
    """The revision is written before the status; a pass between them finds the highest number."""
    first, second = a_revision("builtin://tiny", 3), a_revision("builtin://simulated", 2)

    assert renumber(first, [first, second]).number == 3


def test_a_revision_survives_its_controller_revision_and_its_snapshot() -> None:
    """What is written is what is read back."""
    revision = a_revision()

    kept = parse_controller_revision(render_controller_revision(IDENTITY, revision))
    snapshot = parse_snapshot(render_deployment(IDENTITY, revision, 1))

    assert kept == revision
    assert snapshot is not None
    assert (snapshot.hash, snapshot.data) == (revision.hash, revision.data)


def test_a_snapshot_that_does_not_have_its_hash_is_not_believed() -> None:
    """An annotation that was edited by hand rebuilds nothing."""
    deployment = render_deployment(IDENTITY, a_revision(), 1)
    annotations = deployment["metadata"]["annotations"]
    for key in annotations:
        annotations[key] = annotations[key].replace("tiny", "evil")

    assert parse_snapshot(deployment) is None


@given(st.lists(st.integers(1, 50), unique=True, max_size=20), st.integers(0, 12))
def test_history_keeps_those_in_use_and_the_newest_others(numbers: list[int], limit: int) -> None:
    """The limit counts only revisions that nothing uses."""
    revisions = [a_revision(f"file:///m{number}", number) for number in numbers]
    used = {revision.hash for revision in revisions[:2]}

    kept = kept_revisions(revisions, used, limit)

    assert used <= {revision.hash for revision in kept}
    assert len(kept) == min(len(revisions), len(used) + limit)
    others = [r.number for r in revisions if r.hash not in used]
    assert [r.number for r in kept if r.hash not in used] == sorted(others, reverse=True)[:limit]
