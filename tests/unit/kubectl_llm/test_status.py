from collections.abc import Iterable
from typing import Any

import pytest

from kubectl_llm.ending import ending
from kubectl_llm.exits import ExitCode
from llm_operator import kinds
from llm_operator.api.status import RolloutPhase
from tests.builders import an_llm_deployment
from tests.models.kubectl_llm import Person, condition
from tests.models.operator import OperatorModel

STABLE, NEW = "bcdfghjk", "lmnpqrst"
READY = condition("Ready", "True", "Available", "3 of 3 pods are ready")
NOT_READY = condition("Ready", "False", "PodsNotReady", "1 of 3 pods are ready")
QUIET = condition("Progressing", "False", "UpToDate", "No rollout is running")
BUSY = condition("Progressing", "True", "RolloutStepping", "Going on")
STALLED = condition("Stalled", "True", "NoRoomForRollout", "Raise maxExtraReplicas")
PROMOTED = {"stableRevision": NEW, "conditions": [READY, QUIET]}


def rolling(phase: str, *conditions: dict[str, Any], **rollout: Any) -> dict[str, Any]:
    """Return the status of a rollout in ``phase``."""
    return {
        "stableRevision": STABLE,
        "conditions": list(conditions) or [READY, BUSY],
        "rollout": {"phase": phase, "target": NEW, **rollout},
    }


def end_of(status: dict[str, Any], observed: int = 1) -> ExitCode | None:
    """Return how a resource of generation 1 with this status has ended."""
    found = ending(an_llm_deployment(status={"observedGeneration": observed, **status}))
    return found.code if found else None


def test_a_promoted_revision_that_is_ready_is_an_end() -> None:
    """Ready, and nothing under way: 0."""
    assert end_of(PROMOTED) is ExitCode.OK


def test_a_promoted_revision_short_of_pods_is_not_an_end() -> None:
    """What the spec asks for is not there yet."""
    assert end_of({"stableRevision": NEW, "conditions": [NOT_READY, QUIET]}) is None


def test_a_status_about_an_older_spec_says_nothing() -> None:
    """Until the operator has seen the edit, the end of the rollout before it does not count."""
    assert end_of(PROMOTED, observed=0) is None
    assert end_of(rolling("RolledBack", READY, STALLED), observed=0) is None


def test_no_status_at_all_is_no_end() -> None:
    """A resource that was just created is waited for."""
    assert ending(an_llm_deployment()) is None


@pytest.mark.parametrize(
    "phase",
    sorted(set(RolloutPhase) - {RolloutPhase.STABLE, RolloutPhase.ROLLED_BACK}),
)
def test_a_rollout_under_way_is_no_end(phase: RolloutPhase) -> None:
    """Preparing, stepping, pausing, holding, promoting, baking and rolling back go on."""
    assert end_of(rolling(phase.value)) is None


def test_a_rolled_back_revision_is_an_end_of_its_own() -> None:
    """10 tells a rollback from every other failure, and the cause is in the sentence."""
    status = rolling("RolledBack", READY, STALLED, cause="ErrorsTooHigh", message="12 % errors")

    found = ending(an_llm_deployment(status={"observedGeneration": 1, **status}))

    assert found is not None
    assert found.code is ExitCode.ROLLED_BACK
    assert "ErrorsTooHigh: 12 % errors" in found.message


def test_a_rollback_is_waited_for_to_its_end() -> None:
    """While it goes back nothing has ended, even if it is said to be stalled already."""
    assert end_of(rolling("RollingBack", READY, STALLED)) is None


def test_what_gets_no_further_without_a_change_is_an_end() -> None:
    """Stalled ends the wait with 11, in any phase and in none."""
    assert end_of({"stableRevision": STABLE, "conditions": [READY, STALLED]}) is ExitCode.STALLED
    assert end_of(rolling("Preparing", NOT_READY, BUSY, STALLED)) is ExitCode.STALLED


def test_a_pause_after_a_failure_is_an_end() -> None:
    """onFailure: Pause leaves the decision to a person; a pipeline is told so."""
    failed = rolling("Paused", READY, BUSY, cause="FirstTokenTooSlow")

    assert end_of(failed) is ExitCode.PAUSED_BY_FAILURE


@pytest.mark.parametrize("cause", ["PausedByStep", "PausedBySpec", "PausedByCommand"])
def test_a_pause_that_somebody_wanted_is_no_end(cause: str) -> None:
    """A planned pause, a paused spec and the command pause are waited through."""
    assert end_of(rolling("Paused", READY, BUSY, cause=cause)) is None


def follow(person: Person, statuses: Iterable[dict[str, Any]]) -> None:
    """Let each look at the resource find the next of these statuses; the last one stays."""
    rest = iter(statuses)

    def next_status(verb: str, kind: kinds.ResourceKind) -> None:
        status = next(rest, None) if (verb, kind) == ("get", kinds.LLM_DEPLOYMENT) else None
        if status is not None:
            person.reports(status)

    person.api.before_request = next_status


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (PROMOTED, 0),
        (rolling("RolledBack", READY, STALLED, cause="NoProgress"), 10),
        (rolling("Preparing", NOT_READY, BUSY, STALLED), 11),
        (rolling("Paused", READY, BUSY, cause="ErrorsTooHigh"), 13),
    ],
)
def test_watching_ends_with_the_rollout_and_its_code(
    person: Person, last: dict[str, Any], code: int
) -> None:
    """``status --watch`` prints each piece of news once and exits as the rollout ended."""
    person.has()
    stepping = rolling("Step", step=1, steps=4, weightPercent=10)
    follow(person, [rolling("Preparing"), stepping, stepping, last])

    told = person.runs("status", "chat", "--watch", "--interval", "0.1", "--timeout", "20")

    assert told.exit_code == code, told.output
    lines = told.output.splitlines()
    assert sum("Step 1/4, weight 10%" in line for line in lines) == 1
    assert "Preparing" in lines[0]


def test_watching_waits_until_the_operator_has_seen_the_edit(person: Person) -> None:
    """The end of the rollout before the edit is not mistaken for the end of this one."""
    person.has(status={**PROMOTED, "observedGeneration": 0})

    told = person.runs("status", "chat", "--watch", "--interval", "0.1", "--timeout", "0.5")

    assert told.exit_code == 12
    assert "waiting for the operator" in told.output


def test_a_rollout_that_outlasts_the_timeout_has_a_code_of_its_own(person: Person) -> None:
    """12: it goes on, and nobody knows how it will end."""
    person.has(status=rolling("Step"))

    told = person.runs("status", "chat", "--watch", "--interval", "0.1", "--timeout", "0.3")

    assert told.exit_code == 12
    assert "has not ended" in told.stderr


def test_without_watch_there_is_one_look(person: Person) -> None:
    """The code is that of the end, or 12 where there is none yet."""
    person.has(status=PROMOTED)
    assert person.runs("status", "chat").exit_code == 0

    person.reports(rolling("Baking"))
    assert person.runs("status", "chat").exit_code == 12


def test_watching_outlives_an_api_server_that_is_away(person: Person) -> None:
    """A few unanswered looks do not fail a pipeline."""
    person.has(status=rolling("Step"))
    person.cluster.away = [False, True, True]

    told = person.runs("status", "chat", "--watch", "--interval", "0.1", "--timeout", "1")

    assert told.exit_code == 12
    assert "does not answer" in told.output
    assert told.stdout.splitlines()[-1].startswith("chat: ")


def test_watching_ends_when_the_resource_is_deleted(person: Person) -> None:
    """What is gone cannot be waited for: 3."""
    person.has(status=rolling("Step"))
    looks = iter(range(3))

    def delete_later(verb: str, kind: kinds.ResourceKind) -> None:
        if next(looks, None) is None and person.api.find(kinds.LLM_DEPLOYMENT, "default", "chat"):
            person.api.remove(kinds.LLM_DEPLOYMENT, "default", "chat")

    person.api.before_request = delete_later

    told = person.runs("status", "chat", "--watch", "--interval", "0.1", "--timeout", "20")

    assert told.exit_code == 3


async def test_the_operators_own_statuses_have_their_codes() -> None:
    """Promoted, waiting for a paused spec, without room, failed and paused, aborted: each in turn.

    The statuses are those that the operator itself writes.
    """
    operator = OperatorModel()
    seen = []

    async def see() -> None:
        await operator.settle()
        found = ending(operator.resource())
        seen.append(found.code if found else None)

    operator.write(replicas=2, rollout={"strategy": "Canary", "paused": True, "bakeSeconds": 0})
    await see()
    operator.write(model={"source": "builtin://worse"})
    await see()
    operator.write(rollout={"strategy": "Canary", "maxExtraReplicas": 0, "minServingPercent": 100})
    await see()
    operator.load.failing_sources.add("builtin://worse")
    analysis = {"minRequests": 5, "intervalSeconds": 2}
    operator.write(rollout={"strategy": "Canary", "onFailure": "Pause", "analysis": analysis})
    await see()
    operator.command("abort")
    await see()

    assert seen == [
        ExitCode.OK,
        None,
        ExitCode.STALLED,
        ExitCode.PAUSED_BY_FAILURE,
        ExitCode.ROLLED_BACK,
    ]
