"""Restarts of the canary's pods, counted over a whole rollout; pure.

The server of a pod that ends again and again in the same way condemns its revision, whatever its
counters say, and whether or not a window is open: a canary that is lost has none. Counting begins
when the canary gets its first share; a server that needed two attempts to load is judged by what
it does then. An end that may pass by itself, as that of a server whose hub does not answer, counts
against nobody: the rollout waits for it to its deadline. The memory is
``status.rollout.restarts``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from llm_operator import diagnosis, kinds

RESTARTS_MAX: Final = 16
"""Pods whose restarts are remembered; one of them that fails is enough."""

RESTARTS_FAIL: Final = 2
"""Restarts with the same exit that condemn a canary (rollout.md, "Judgement")."""

_SERVER_CONTAINER: Final = "server"


@dataclass(frozen=True, slots=True)
class PodRestarts:
    """How often the server of a pod was restarted, and how it ended last."""

    pod: str
    count: int
    exit_code: int = 0
    repeated: int = 0
    """Restarts in a row that ended alike, as far as they were watched."""
    waits: bool = False
    """Whether it ended last for what may pass by itself."""


def restarts_of(pods: Iterable[Mapping[str, Any]], revision: str) -> tuple[PodRestarts, ...]:
    """Return the pods of a revision, terminating ones aside, whose server was restarted."""
    return tuple(
        _restarted(pod["metadata"]["name"], count, container)
        for pod in pods
        if _revision(pod) == revision and not diagnosis.is_terminating(pod)
        for container in pod.get("status", {}).get("containerStatuses", ())
        if container.get("name") == _SERVER_CONTAINER
        and (count := int(container.get("restartCount", 0))) > 0
    )


def counted_restarts(
    known: tuple[PodRestarts, ...], now: Iterable[PodRestarts]
) -> tuple[PodRestarts, ...]:
    """Go on counting from what was known; pods that are gone are forgotten.

    A restart counts as the same again when the run before it ended with the same exit code.
    Restarts that were not watched one by one are taken to have ended as the last one did.
    """
    before = {entry.pod: entry for entry in known}
    counted = sorted(
        (_counted(before.get(entry.pod), entry) for entry in now),
        key=lambda entry: (-entry.repeated, entry.pod),
    )
    return tuple(counted[:RESTARTS_MAX])


def as_they_are(now: Iterable[PodRestarts]) -> tuple[PodRestarts, ...]:
    """Return what counting begins with: restarts so far do not count."""
    return tuple(sorted(now, key=lambda entry: entry.pod)[:RESTARTS_MAX])


def condemned(restarts: Iterable[PodRestarts]) -> PodRestarts | None:
    """Return a pod that has restarted too often in the same way, None if there is none."""
    return next((entry for entry in restarts if entry.repeated >= RESTARTS_FAIL), None)


def restarts_json(restarts: Iterable[PodRestarts]) -> list[dict[str, Any]]:
    """Return the JSON for the status."""
    return [
        {
            "pod": entry.pod,
            "count": entry.count,
            "exitCode": entry.exit_code,
            "repeated": entry.repeated,
        }
        for entry in restarts
    ]


def read_restarts(content: object) -> tuple[PodRestarts, ...]:
    """Return what the status holds; an entry that is not understood is left out."""
    entries = content if isinstance(content, list | tuple) else ()
    return tuple(
        PodRestarts(
            str(entry["pod"]),
            _whole(entry.get("count")),
            _whole(entry.get("exitCode")),
            _whole(entry.get("repeated")),
        )
        for entry in entries
        if isinstance(entry, Mapping) and "pod" in entry
    )


def _counted(before: PodRestarts | None, now: PodRestarts) -> PodRestarts:
    if before is not None and now.count <= before.count:
        return before
    if now.waits:
        return replace(now, repeated=0, waits=False)
    if before is None:
        return replace(now, repeated=now.count)
    added = now.count - before.count
    ended_alike = now.exit_code == before.exit_code
    return replace(now, repeated=(before.repeated if ended_alike else 0) + added)


def _revision(pod: Mapping[str, Any]) -> str:
    return str(pod.get("metadata", {}).get("labels", {}).get(kinds.REVISION_LABEL, ""))


def _restarted(pod: str, count: int, container: Mapping[str, Any]) -> PodRestarts:
    """Say how the run ended that the last restart followed."""
    ended = container.get("lastState", {}).get("terminated", {})
    waits = diagnosis.waits_for_others(str(ended.get("message", "")))
    return PodRestarts(pod, count, int(ended.get("exitCode", 0)), waits=waits)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
