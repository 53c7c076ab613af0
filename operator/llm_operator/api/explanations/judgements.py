"""The reasons of a judgement: what a step passes by, waits for, or fails of."""

from collections.abc import Mapping
from typing import Final

from llm_operator.api.explanations.explanation import Explanation, normal, warning

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "LimitsKept": normal("Every limit of rollout.analysis was measured and kept."),
    "NoTraffic": normal(
        "No request reached either revision during the step, so nothing speaks against it.",
        "Send requests during rollouts if they are to be judged by them.",
    ),
    "TooFewRequests": normal(
        "The new revision has answered fewer requests than rollout.analysis.minRequests.",
        "Wait, send requests, lower minRequests, or use promote-step.",
    ),
    "InconclusiveTooLong": warning(
        "The step had no verdict for rollout.inconclusiveSeconds.",
        "Lower rollout.analysis.minRequests, or start it again when there is traffic.",
    ),
    "MetricsMissing": warning(
        "The counters of pods, or a guard's query, could not be read for three intervals.",
        "Check that the operator reaches the pods' /metrics and rollout.analysis.prometheus.",
    ),
    "TrafficNotApplied": warning(
        "The share of traffic was set, but what routes it has not taken it over.",
        "Look at the EndpointSlices or at the status of the HTTPRoute that the message names.",
    ),
    "CanaryLost": warning(
        "The new revision has no ready pod any more.",
        "Read status.pods and the log of its pods.",
    ),
    "ErrorsTooHigh": warning(
        "More requests failed on the new revision than rollout.analysis.maxErrorPercent.",
        "Read the log of its pods, correct the cause and apply the spec.",
    ),
    "FirstTokenTooSlow": warning(
        "The 95th percentile of the time to the first token is above"
        " rollout.analysis.maxTimeToFirstTokenPercent of the stable revision's.",
        "Compare the two revisions' settings; raise the limit if this is wanted.",
    ),
    "InterTokenTooSlow": warning(
        "The 95th percentile of the time between tokens is above"
        " rollout.analysis.maxInterTokenPercent of the stable revision's.",
        "Compare the two revisions' settings; raise the limit if this is wanted.",
    ),
    "GuardExceeded": warning(
        "A guard's query was above its maximum twice in a row.",
        "Look at the query of the guard that the message names.",
    ),
    "CanaryRestarting": warning(
        "A pod of the new revision ended twice in the same way.",
        "Read the log of its last run: `kubectl logs --previous` of the pod.",
    ),
    "NoProgress": warning(
        "A pod of the new revision has requests waiting and finished no token for a minute.",
        "Read the log of the pod that the message names.",
    ),
}
