"""The reasons of a rollout on its way, whatever it ends in."""

from collections.abc import Mapping
from typing import Final

from llm_operator.api.explanations.explanation import Explanation, normal, warning

EXPLANATIONS: Final[Mapping[str, Explanation]] = {
    "RolloutPreparing": normal(
        "Pods of the new revision are starting; they get no traffic yet.",
        "Wait; status.pods says what pods that are not ready wait for.",
    ),
    "RolloutStepping": normal(
        "The new revision gets the share of traffic of its step and is judged.",
        "Wait, or use promote-step, promote, pause or abort.",
    ),
    "RolloutPaused": normal(
        "The rollout stays at its step until its pause is over; the message says which.",
        "Use resume or promote-step to go on, or abort; a pause with seconds ends by itself.",
    ),
    "RolloutHolding": warning(
        "The rollout waits for something to be cured: metrics, traffic, or its ready pods.",
        "Cure what the message names, use promote to go past it, or abort.",
    ),
    "RolloutPromoting": normal(
        "All traffic moves to the new revision.",
        "Wait; it becomes stable when the move is seen to be applied.",
    ),
    "RolloutBaking": normal(
        "The new revision is stable; pods of the old one are kept to go back to.",
        "Wait for rollout.bakeSeconds, or use promote to end the bake and abort to go back.",
    ),
    "RolloutRollingBack": warning(
        "The stable revision takes all traffic again; then the pods of the other one end.",
        "Wait; the message says why.",
    ),
    "RolledBack": warning(
        "The new revision was rejected; the stable one serves as before.",
        "Correct what the message names and apply the spec, or use retry.",
    ),
    "Promoted": normal("The new revision is the stable one."),
    "StepReached": normal(
        "The traffic of a step is applied, and its time and its judgement begin.",
        "Wait; a step ends when it has lasted and its limits are measured and kept.",
    ),
    "NoRoomForRollout": warning(
        "No pod may be added, and none may be missing: no revision can replace another.",
        "Raise rollout.maxExtraReplicas above 0, or lower rollout.minServingPercent below 100.",
    ),
    "Superseded": normal(
        "The spec was edited again: the rollout is undone, and the newest revision follows.",
    ),
    "Reverted": normal("The spec is again that of the stable revision: the rollout is undone."),
    "Aborted": warning(
        "The rollout was ended by the command abort; its revision is rejected.",
        "Edit the spec, or use retry.",
    ),
    "PausedBySpec": normal(
        "rollout.paused is true: no step and no rollout begins; a rollback still does.",
        "Set rollout.paused to false.",
    ),
    "PausedByStep": normal(
        "The step has a pause.",
        "Use resume or promote-step; a pause with seconds ends by itself.",
    ),
    "PausedByCommand": normal("The command pause was given.", "Use resume."),
    "PausedByFailure": warning(
        "The rollout failed, and rollout.onFailure is Pause.",
        "Read the message, then use abort to go back or promote-step or promote to go on.",
    ),
    "CommandExecuted": normal("A command was carried out."),
    "StaleCommand": warning(
        "A command was not carried out: it names another revision, or the rollout is past it.",
        "Compare it with status.rollout, and give it again for the revision that stands there.",
    ),
    "CommandInvalid": warning(
        "The command annotation cannot be read; nothing was done.",
        "Write it with kubectl llm, or as the message says.",
    ),
    "StableNotReady": warning(
        "The rollback ended without ready pods of the stable revision; nothing serves.",
        "Read status.pods, and cure what keeps the pods of the stable revision from being ready.",
    ),
}
