"""A status is within the bounds of the CRD, however much there is to say.

The API server refuses a whole status for one string that is too long, and with it every decision.
"""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from llm_operator import kinds
from llm_operator.api import crd
from llm_operator.api.reasons import Reason
from llm_operator.api.status import RolloutPhase
from llm_operator.conditions import merge_conditions
from llm_operator.diagnosis import Finding
from llm_operator.events import NOTE_LIMIT, render_event
from llm_operator.observation import Observation, Refusal
from llm_operator.plan import EventDraft, Plan
from llm_operator.reconcile import reconcile
from llm_operator.rollout.state import Judgement, VerdictOutcome
from llm_operator.status import (
    Progress,
    Situation,
    fit,
    judge,
    pods_json,
    rollout_json,
    summary_phase,
)
from llm_server import contract
from tests.builders import ENVIRONMENT, NOW, an_llm_deployment
from tests.diagnosis_builders import a_pod, an_unbound_pod, crashed, waiting
from tests.models.schema import closed
from tests.situation_builders import moving

SCHEMA = Draft202012Validator(closed(crd.resource_schema()["properties"]["status"]))

LONG = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(), min_size=1, max_size=8) | st.sampled_from(["x", "é", "模", "\ud800"]),
    st.sampled_from([1, 50, 1000]),
)
"""Of one character to thousands, surrogates too: a server's JSON may hold half a character."""


def is_accepted(status: dict[str, Any]) -> None:
    """Fail unless the API server takes the status: it can be sent, and is within all bounds."""
    json.dumps(status, ensure_ascii=False).encode()
    SCHEMA.validate(status)


@given(LONG, LONG, LONG, st.sampled_from(RolloutPhase), st.sampled_from(Reason))
def test_any_words_make_a_status_within_its_bounds(
    said: str, found: str, judged: str, phase: RolloutPhase, reason: Reason
) -> None:
    """Of findings, conflicts, notes, the machine and the judge, in each state."""
    finding = Finding(reason, found, "p" * 253)
    progress = Progress(4, 25, Judgement(NOW, VerdictOutcome.FAIL, reason, judged))
    decision = moving(phase, cause=reason, message=said)
    situation = Situation(decision, 4, 2, progress, (finding,), (finding,), (finding,) * 9, (said,))
    verdicts = judge(situation)
    is_accepted(
        fit(
            {
                "phase": summary_phase(situation, verdicts).value,
                "conditions": merge_conditions((), verdicts, generation=1, now=NOW),
                "pods": pods_json([replace(finding, reason=reason) for reason in Reason]),
                "rollout": rollout_json(decision.rollout, progress),
            }
        )
    )


def passed(*pods: dict[str, Any], refusal: str = "", **spec: Any) -> Plan:
    """Return the plan of a pass over a resource that was refused something."""
    resource = an_llm_deployment("x" * 30, **spec)
    resource["metadata"]["namespace"] = "n" * 63
    name = resource["metadata"]["name"]
    refused = Refusal(kinds.SERVICE, name, Reason.UNKNOWN, refusal, NOW, 1)
    observation = Observation(resource, {}, pods, (), (refused,) if refusal else ())
    return reconcile(observation, ENVIRONMENT, NOW)


@given(LONG, st.integers(0, 4))
def test_a_pass_over_pods_that_say_too_much_writes_a_status_within_its_bounds(
    said: str, kind: int
) -> None:
    """Whoever says it: the server, its log, the kubelet, the scheduler, the API server."""
    told = json.dumps({"reason": "ModelUnsupported", "message": said})
    pods = (
        a_pod(containerStatuses=[crashed(1, told)]),
        a_pod(containerStatuses=[crashed(1, json.dumps({"message": said}))]),
        a_pod(containerStatuses=[waiting("ErrImagePull", said)]),
        an_unbound_pod(said),
        a_pod(phase="Failed", reason="Evicted", message=said, containerStatuses=[]),
    )
    plan = passed(pods[kind], refusal=said)
    assert plan.status is not None
    is_accepted(dict(plan.status))


@given(LONG)
def test_a_pass_over_a_spec_that_cannot_be_read_writes_a_status_within_its_bounds(
    said: str,
) -> None:
    """What was wrong is quoted, in part."""
    plan = passed(model={"source": said}, **{said: said})
    assert plan.status is not None
    is_accepted(dict(plan.status))


@given(LONG)
def test_a_note_of_an_event_is_within_the_bytes_that_the_api_server_takes(said: str) -> None:
    """It counts bytes; a longer note would lose the event."""
    draft = EventDraft(Reason.PROMOTED, said, "Roll")
    note = render_event(an_llm_deployment(uid="u"), draft, "operator-1", NOW)["note"]
    assert 0 < len(note.encode()) <= NOTE_LIMIT


def test_the_longest_names_fit() -> None:
    """Of resource, namespace and model: selector, endpoint and model are within their bounds."""
    longest = "m" * contract.SERVED_NAME_CHARS_MAX
    plan = passed(model={"source": "file:///" + "x" * 512, "servedName": longest})
    assert plan.status is not None
    is_accepted(dict(plan.status))
