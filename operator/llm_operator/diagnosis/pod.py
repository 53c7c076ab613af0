"""A pod as a diagnosis reads it: frozen, complete, with what is absent left empty."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from llm_operator import kinds
from llm_operator.diagnosis.reading import Object, entries, moment, part, text, whole


@dataclass(frozen=True, slots=True)
class Condition:
    """One entry of ``status.conditions``; absent ones have an empty status."""

    status: str = ""
    reason: str = ""
    message: str = ""
    changed_at: datetime | None = None


_ABSENT: Final = Condition()


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run of a container ended."""

    exit_code: int | None
    reason: str
    message: str
    """What the container wrote to its termination log, or the last lines of its log."""
    started_at: datetime | None
    finished_at: datetime | None


class Role(Enum):
    """What a container is for."""

    INIT = "init container"
    MAIN = "container"


@dataclass(frozen=True, slots=True)
class Container:
    """One container and its state."""

    name: str
    role: Role
    image: str
    is_ready: bool
    has_started: bool
    """Whether its start-up probe has passed in this run."""
    restarts: int
    waiting_reason: str = ""
    waiting_message: str = ""
    is_running: bool = False
    running_since: datetime | None = None
    ended: Ended | None = None
    """Set while it does not run because it ended."""
    ended_before: Ended | None = None
    """The run before this one."""

    @property
    def repeats(self) -> bool:
        """Whether it ended at least twice."""
        return self.waiting_reason == "CrashLoopBackOff" or self.restarts >= 2


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod."""

    name: str
    uid: str
    revision: str
    node: str
    phase: str
    reason: str
    message: str
    created_at: datetime | None
    deleted_at: datetime | None
    """When it must be gone at the latest, grace included; set once its deletion has begun."""
    finalizers: tuple[str, ...]
    containers: tuple[Container, ...]
    """Init containers first, as they run."""
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def condition(self, type_: str) -> Condition:
        """Return a condition, an empty one when it is absent."""
        return self.conditions.get(type_, _ABSENT)

    @property
    def is_bound(self) -> bool:
        """Whether it has got a node."""
        return bool(self.node) or self.condition("PodScheduled").status == "True"

    @property
    def is_ready(self) -> bool:
        """Whether it has the condition Ready."""
        return self.condition("Ready").status == "True"

    @property
    def is_terminating(self) -> bool:
        """Whether its deletion has begun."""
        return self.deleted_at is not None

    @property
    def is_finished(self) -> bool:
        """Whether it ended for good; it then holds no accelerator any more."""
        return self.phase in ("Succeeded", "Failed")


def read_pod(obj: Object) -> Pod:
    """Read a pod of any shape."""
    metadata, status = part(obj, "metadata"), part(obj, "status")
    return Pod(
        name=text(metadata, "name"),
        uid=text(metadata, "uid"),
        revision=text(part(metadata, "labels"), kinds.REVISION_LABEL),
        node=text(part(obj, "spec"), "nodeName"),
        phase=text(status, "phase"),
        reason=text(status, "reason"),
        message=text(status, "message"),
        created_at=moment(metadata, "creationTimestamp"),
        deleted_at=moment(metadata, "deletionTimestamp"),
        finalizers=_strings(metadata, "finalizers"),
        containers=(
            *(_container(c, Role.INIT) for c in entries(status, "initContainerStatuses")),
            *(_container(c, Role.MAIN) for c in entries(status, "containerStatuses")),
        ),
        conditions=read_conditions(obj),
    )


def read_conditions(obj: Object) -> dict[str, Condition]:
    """Return ``status.conditions`` by type; the first of a type counts."""
    found: dict[str, Condition] = {}
    for entry in entries(part(obj, "status"), "conditions"):
        condition = Condition(
            status=text(entry, "status"),
            reason=text(entry, "reason"),
            message=text(entry, "message"),
            changed_at=moment(entry, "lastTransitionTime"),
        )
        found.setdefault(text(entry, "type"), condition)
    return found


def is_ready(pod: Object) -> bool:
    """Whether the pod has the condition Ready."""
    condition = read_conditions(pod).get("Ready")
    return condition is not None and condition.status == "True"


def is_terminating(pod: Object) -> bool:
    """Whether the pod's deletion has begun."""
    return "deletionTimestamp" in part(pod, "metadata")


def is_finished(pod: Object) -> bool:
    """Whether the pod ended for good; it then holds no accelerator any more."""
    return text(part(pod, "status"), "phase") in ("Succeeded", "Failed")


def _container(status: Object, role: Role) -> Container:
    state = part(status, "state")
    waiting, running = part(state, "waiting"), part(state, "running")
    return Container(
        name=text(status, "name"),
        role=role,
        image=text(status, "image"),
        is_ready=status.get("ready") is True,
        has_started=status.get("started") is True,
        restarts=whole(status, "restartCount") or 0,
        waiting_reason=text(waiting, "reason"),
        waiting_message=text(waiting, "message"),
        is_running="running" in state,
        running_since=moment(running, "startedAt"),
        ended=_ended(state),
        ended_before=_ended(part(status, "lastState")),
    )


def _ended(state: Object) -> Ended | None:
    terminated = part(state, "terminated")
    if not terminated:
        return None
    return Ended(
        exit_code=whole(terminated, "exitCode"),
        reason=text(terminated, "reason"),
        message=text(terminated, "message"),
        started_at=moment(terminated, "startedAt"),
        finished_at=moment(terminated, "finishedAt"),
    )


def _strings(obj: Object, name: str) -> tuple[str, ...]:
    value = obj.get(name)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list | tuple) else ()
