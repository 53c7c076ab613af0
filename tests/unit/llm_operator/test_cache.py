"""The cache: whatever comes in which order, it ends up with what the cluster holds."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_operator import kinds
from llm_operator.cluster.cache import TOMBSTONE_SECONDS, Cache, ResourceKey, parent_key

KEY = ResourceKey("default", "chat")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def an_object(version: int, name: str = "chat", uid: str = "u1", **body: Any) -> dict[str, Any]:
    """A child of the resource ``chat`` at a resourceVersion."""
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": uid,
        "resourceVersion": str(version),
        "labels": {kinds.INSTANCE_LABEL: "chat"},
    }
    return {"metadata": metadata, **body}


def owned_by(obj: dict[str, Any], name: str) -> dict[str, Any]:
    """Give an object a controller reference to an LLMDeployment."""
    reference = {
        "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
        "kind": "LLMDeployment",
        "name": name,
        "uid": f"{name}-uid",
        "controller": True,
    }
    obj["metadata"]["ownerReferences"] = [reference]
    return obj


def stored_version(cache: Cache) -> str | None:
    """The resourceVersion that the cache holds of the Service ``chat``."""
    obj = cache.get(kinds.SERVICE, "default", "chat")
    return obj["metadata"]["resourceVersion"] if obj else None


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    """Versions are compared as numbers: 9 is older than 10."""
    cache = Cache(Clock())
    assert cache.put(kinds.SERVICE, an_object(10))
    assert not cache.put(kinds.SERVICE, an_object(9, spec={"old": True}))
    assert stored_version(cache) == "10"


def test_the_echo_of_an_own_write_is_no_news() -> None:
    """The watch repeats what our own answer already said: same version, nothing to do."""
    cache = Cache(Clock())
    assert cache.put(kinds.SERVICE, an_object(10))
    assert not cache.put(kinds.SERVICE, an_object(10))


def test_a_change_of_bookkeeping_alone_is_no_news() -> None:
    """A new version with other managedFields and equal content rings nobody, but is stored."""
    cache = Cache(Clock())
    cache.put(kinds.SERVICE, an_object(10, spec={"a": 1}))
    newer = an_object(11, spec={"a": 1})
    newer["metadata"]["managedFields"] = [{"manager": "x", "operation": "Update", "fieldsV1": {}}]
    assert not cache.put(kinds.SERVICE, newer)
    assert stored_version(cache) == "11"


def test_the_status_of_an_autoscaler_is_no_news() -> None:
    """Metrics that tick every few seconds do not make the operator work."""
    cache = Cache(Clock())
    cache.put(kinds.AUTOSCALER, an_object(1, spec={}, status={"currentMetrics": [1]}))
    assert not cache.put(kinds.AUTOSCALER, an_object(2, spec={}, status={"currentMetrics": [2]}))
    assert cache.put(kinds.AUTOSCALER, an_object(3, spec={"maxReplicas": 3}))


def test_a_deployment_status_is_news() -> None:
    """Readiness is what a rollout waits for."""
    cache = Cache(Clock())
    cache.put(kinds.DEPLOYMENT, an_object(1, status={"readyReplicas": 0}))
    assert cache.put(kinds.DEPLOYMENT, an_object(2, status={"readyReplicas": 1}))


def test_a_late_word_about_a_deleted_object_is_ignored() -> None:
    """What was seen to end at a version does not come back with an older one."""
    cache = Cache(Clock())
    cache.put(kinds.SERVICE, an_object(10))
    assert cache.delete(kinds.SERVICE, an_object(12))
    assert not cache.put(kinds.SERVICE, an_object(11))
    assert stored_version(cache) is None


def test_an_object_that_lost_its_label_and_got_it_back_is_taken_again() -> None:
    """A watch says deleted when the label goes; the same UID with a newer version is alive."""
    cache = Cache(Clock())
    cache.put(kinds.SERVICE, an_object(10))
    cache.delete(kinds.SERVICE, an_object(11))
    assert cache.put(kinds.SERVICE, an_object(12))
    assert stored_version(cache) == "12"


def test_a_late_deletion_does_not_remove_the_successor() -> None:
    """Deleted and made anew under the same name: the old deletion is old news."""
    cache = Cache(Clock())
    cache.put(kinds.SERVICE, an_object(10))
    cache.put(kinds.SERVICE, an_object(13, uid="u2"))
    assert not cache.delete(kinds.SERVICE, an_object(12))
    assert stored_version(cache) == "13"


def test_tombstones_do_not_pile_up() -> None:
    """A tombstone is kept for a minute and no longer."""
    clock = Clock()
    cache = Cache(clock)
    for n in range(100):
        cache.delete(kinds.POD, an_object(n + 1, name=f"pod-{n}"))
        clock.now += TOMBSTONE_SECONDS / 10
    assert len(cache._tombstones) <= 11


def test_a_list_finds_ghosts_and_what_was_missed() -> None:
    """What is gone without a word is removed, what is new is taken, both are counted."""
    cache = Cache(Clock())
    cache.replace(kinds.SERVICE, [an_object(1), an_object(2, name="other")], "5")
    found = cache.replace(kinds.SERVICE, [an_object(8, spec={"new": True})], "9")
    assert (found.ghosts, found.missed) == (1, 1)
    assert found.changed == {KEY}
    assert stored_version(cache) == "8"
    assert cache.get(kinds.SERVICE, "default", "other") is None


def test_a_list_does_not_undo_what_came_after_it() -> None:
    """An object that is newer than the list is no ghost though the list lacks it."""
    cache = Cache(Clock())
    cache.put(kinds.SERVICE, an_object(10))
    found = cache.replace(kinds.SERVICE, [], "9")
    assert found.ghosts == 0
    assert stored_version(cache) == "10"


def test_a_list_that_tells_nothing_new_changes_nothing() -> None:
    """A list of what is known rings nobody."""
    cache = Cache(Clock())
    cache.replace(kinds.SERVICE, [an_object(1)], "5")
    found = cache.replace(kinds.SERVICE, [an_object(1)], "9")
    assert (found.changed, found.ghosts, found.missed) == (frozenset(), 0, 0)


def test_a_cluster_restored_from_a_backup_is_believed() -> None:
    """When versions went back, what was known of the future is forgotten."""
    cache = Cache(Clock())
    cache.replace(kinds.SERVICE, [an_object(90), an_object(91, name="later")], "100")
    found = cache.replace(kinds.SERVICE, [an_object(40)], "50")
    assert found.changed == {KEY}
    assert stored_version(cache) == "40"
    assert cache.get(kinds.SERVICE, "default", "later") is None
    assert cache.put(kinds.SERVICE, an_object(51, spec={"new": True}))


def test_the_first_list_counts_nothing_as_missed() -> None:
    """At the start everything is new and no watch is to blame."""
    cache = Cache(Clock())
    assert not cache.is_synced([kinds.SERVICE])
    found = cache.replace(kinds.SERVICE, [an_object(1)], "5")
    assert found.changed == {KEY}
    assert found.missed == 0
    assert cache.is_synced([kinds.SERVICE])


def test_an_object_belongs_to_its_controller_before_its_label() -> None:
    """The owner reference says whose it is; the label is for pods and slices, which have none."""
    labelled = an_object(1)
    assert parent_key(kinds.POD, labelled) == KEY
    assert parent_key(kinds.SERVICE, owned_by(an_object(1), "boss")) == ("default", "boss")
    foreign = an_object(1)
    foreign["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "LLMDeployment", "name": "boss", "controller": True}
    ]
    assert parent_key(kinds.SERVICE, foreign) == KEY
    bare = an_object(1)
    del bare["metadata"]["labels"]
    assert parent_key(kinds.POD, bare) is None


def test_children_pods_and_slices_are_found_by_their_resource() -> None:
    """One look gathers everything that belongs to a resource, and nothing of another."""
    cache = Cache(Clock())
    cache.put(kinds.LLM_DEPLOYMENT, an_object(1))
    cache.put(kinds.SERVICE, owned_by(an_object(2), "chat"))
    cache.put(kinds.DEPLOYMENT, owned_by(an_object(3, name="chat-abc"), "chat"))
    cache.put(kinds.SERVICE, owned_by(an_object(4, name="other"), "other"))
    cache.put(kinds.POD, an_object(5, name="pod-2"))
    cache.put(kinds.POD, an_object(6, name="pod-1"))
    cache.put(kinds.ENDPOINT_SLICE, an_object(7, name="slice"))
    assert cache.resources() == (KEY,)
    assert set(cache.children(KEY)) == {(kinds.SERVICE, "chat"), (kinds.DEPLOYMENT, "chat-abc")}
    assert [pod["metadata"]["name"] for pod in cache.pods(KEY)] == ["pod-1", "pod-2"]
    assert len(cache.endpoint_slices(KEY)) == 1


def test_a_child_that_changes_hands_is_found_only_under_its_new_owner() -> None:
    """An index never shows an object under a resource that it no longer belongs to."""
    cache = Cache(Clock())
    cache.put(kinds.SERVICE, owned_by(an_object(1), "chat"))
    cache.put(kinds.SERVICE, owned_by(an_object(2), "other"))
    assert cache.children(KEY) == {}
    assert len(cache.children(ResourceKey("default", "other"))) == 1


def test_pods_are_kept_to_what_is_read_of_them() -> None:
    """Environment, volumes, annotations and managedFields of pods are not held in memory."""
    pod = an_object(1, spec={"nodeName": "n", "volumes": [1], "containers": [{"name": "c"}]})
    pod["spec"]["containers"][0] |= {"env": [1], "image": "i", "resources": {}}
    pod["status"] = {"phase": "Running", "podIPs": [1], "conditions": []}
    pod["metadata"] |= {"annotations": {"a": "b"}, "managedFields": [1]}
    cache = Cache(Clock())
    cache.put(kinds.POD, pod)
    (kept,) = cache.pods(KEY)
    assert kept["spec"] == {
        "nodeName": "n",
        "containers": [{"name": "c", "image": "i", "resources": {}}],
    }
    assert kept["status"] == {"phase": "Running", "conditions": []}
    assert not kept["metadata"].keys() & {"annotations", "managedFields"}


def test_what_is_put_is_not_changed() -> None:
    """Trimming makes a copy: the caller's object stays as it was."""
    obj = an_object(1, spec={"nodeName": "n", "containers": []})
    obj["metadata"]["managedFields"] = [{"manager": "x", "fieldsV1": {"f:a": {}}}]
    before = copy.deepcopy(obj)
    cache = Cache(Clock())
    for kind in (kinds.POD, kinds.SERVICE, kinds.ENDPOINT_SLICE, kinds.LLM_DEPLOYMENT):
        cache.put(kind, obj)
    assert obj == before


# Any history of a cluster, seen through watches that repeat, reorder and lose

changes = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "put", "delete"])),
    max_size=25,
)


@settings(deadline=None, max_examples=150)
@given(changes, st.randoms(use_true_random=False), st.data())
def test_any_order_of_news_and_a_list_end_in_the_truth(
    history: list[tuple[str, str]], rng: Any, data: st.DataObject
) -> None:
    """Lost, repeated and reordered events do no harm once a list has been taken."""
    truth: dict[str, dict[str, Any]] = {}
    events: list[tuple[str, dict[str, Any]]] = []
    for version, (name, change) in enumerate(history, start=1):
        if change == "delete":
            if name not in truth:
                continue
            uid = truth.pop(name)["metadata"]["uid"]
        else:
            uid = truth[name]["metadata"]["uid"] if name in truth else f"{name}-{version}"
            truth[name] = an_object(version, name, uid, spec={"version": version})
        events.append((change, an_object(version, name, uid, spec={"version": version})))
    heard = [event for event in events if data.draw(st.booleans())]
    heard += [event for event in events if data.draw(st.booleans())]
    rng.shuffle(heard)
    cut = data.draw(st.integers(0, len(heard)))

    cache = Cache(Clock())
    _hear(cache, heard[:cut])
    cache.replace(kinds.SERVICE, list(truth.values()), str(len(history)))
    _hear(cache, heard[cut:])

    held = {name: obj["spec"]["version"] for (_, name), obj in cache.children(KEY).items()}
    assert held == {name: obj["spec"]["version"] for name, obj in truth.items()}


def _hear(cache: Cache, events: list[tuple[str, dict[str, Any]]]) -> None:
    for change, obj in events:
        (cache.delete if change == "delete" else cache.put)(kinds.SERVICE, obj)
