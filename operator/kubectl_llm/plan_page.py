"""A plan on a page, and as a document for programs. Nothing is decided here."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table

from kubectl_llm.drawing import changes_lines, table
from kubectl_llm.manifest import ApplyStyle
from kubectl_llm.planning import ChangePlan
from kubectl_llm.stages import Stage
from llm_operator.api.schema import Effect
from llm_operator.api.traffic import Provider

_STYLES: Final = {
    ApplyStyle.CREATE: "It does not exist yet.",
    ApplyStyle.CLIENT_SIDE: "Compared as `kubectl apply` would change it.",
    ApplyStyle.SERVER_SIDE: "Compared as a server-side apply would change it.",
}


def plan_page(name: str, plan: ChangePlan, style: ApplyStyle) -> Group:
    """Return everything that is foretold, for people."""
    parts: list[RenderableType] = [f"{name}: {_STYLES[style]}"]
    if plan.changes:
        parts += ["", *changes_lines(plan.changes)]
    parts += ["", outcome(plan)]
    if plan.shares:
        parts += ["", _shares_table(plan), *first_share_note(plan)]
    if plan.stages:
        parts += ["", _stages_table(plan)]
    parts += ["", *_sums(plan)]
    return Group(*parts)


def outcome(plan: ChangePlan) -> str:
    """Return in a sentence what becomes of the revision."""
    if plan.is_new:
        return f"The first revision starts, with {plan.total} pods."
    if plan.obstacle:
        return f"Nothing is rolled out. {plan.obstacle}"
    restarts = any(change.effect is Effect.REVISION for change in plan.changes)
    if restarts and plan.total == 0:
        return "Nothing runs: the revision changes at once, without a rollout."
    if plan.starts_rollout:
        kept = f"Revision {plan.target.number} ({plan.target.hash}), which is kept, is used again"
        which = kept if plan.is_kept else "A new revision starts"
        policy = plan.ask.policy
        how = f"{policy.strategy.value}, {policy.provider.value}, {plan.total} pods"
        return f"{which}; it replaces {plan.stable} by {how}."
    if restarts:
        return f"The rollout under way ends; revision {plan.target.hash} serves."
    return "Hot: no pod is replaced." if plan.changes else "Nothing changes."


def first_share_note(plan: ChangePlan) -> Iterator[str]:
    """Yield a warning where the first share is larger than what is asked."""
    first = plan.shares[0]
    splits_by_pods = plan.ask.policy.provider is not Provider.GATEWAY_API
    if splits_by_pods and first.effective_percent > first.asked_percent:
        yield (
            f"ReplicaRatio splits by pods: the first step asks for {first.asked_percent} % and has"
            f" {first.effective_percent} %. GatewayAPI, or more replicas, come closer."
        )


def _shares_table(plan: ChangePlan) -> Table:
    made = table("STEP", "ASKED", "EFFECTIVE", "NEW PODS", "OLD PODS")
    for share in plan.shares:
        made.add_row(
            str(share.step),
            f"{share.asked_percent}%",
            f"{share.effective_percent}%",
            str(share.canary_pods),
            str(share.stable_pods),
        )
    return made


def _stages_table(plan: ChangePlan) -> Table:
    made = table("STAGE", "FROM", "SHARE", "CREATED", "REMOVED", "NEW", "OLD", "")
    for stage in plan.stages:
        made.add_row(
            _stage_name(stage),
            span(stage.begins_after),
            f"{stage.weight_percent}%",
            _counts(stage.created_new, stage.created_old),
            _counts(stage.removed_new, stage.removed_old),
            str(stage.pods_new),
            str(stage.pods_old),
            "waits for promote-step" if stage.needs_command else "",
        )
    return made


def _stage_name(stage: Stage) -> str:
    return stage.phase.value + (f" {stage.step}" if stage.step is not None else "")


def _counts(new: int, old: int) -> str:
    parts = [f"{count} {word}" for count, word in ((new, "new"), (old, "old")) if count]
    return ", ".join(parts) or "-"


def _sums(plan: ChangePlan) -> list[str]:
    peak = f"at most {plan.peak_pods} at a time (now {plan.pods_now})"
    sums = [f"Pods: {plan.created} created, {plan.removed} removed; {peak}."]
    sums += [
        f"Accelerators: at most {count} {name} at a time."
        for name, count in plan.peak_accelerators.items()
    ]
    last = plan.stages[-1] if plan.stages else None
    if last is not None and last.begins_after > timedelta(0):
        sums.append(f"It takes {span(last.begins_after)} at least, and what pods need to load.")
    return sums


def span(time: timedelta) -> str:
    """Return a time in hours, minutes and seconds, without those that are 0."""
    seconds = int(time.total_seconds())
    parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "m"), (seconds % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def document(plan: ChangePlan, style: ApplyStyle) -> dict[str, Any]:
    """Return what is foretold, for programs."""
    return {
        "applied": style.value,
        "changes": [
            {
                "field": change.path,
                "before": change.before,
                "after": change.after,
                "effect": change.effect.value,
            }
            for change in plan.changes
        ],
        "outcome": outcome(plan),
        "startsRollout": plan.starts_rollout,
        "keptRevision": plan.target.hash if plan.is_kept else None,
        "strategy": plan.ask.policy.strategy.value,
        "provider": plan.ask.policy.provider.value,
        "total": plan.total,
        "shares": [
            {
                "step": share.step,
                "askedPercent": share.asked_percent,
                "effectivePercent": share.effective_percent,
                "newPods": share.canary_pods,
                "oldPods": share.stable_pods,
            }
            for share in plan.shares
        ],
        "stages": [_stage_document(stage) for stage in plan.stages],
        "podsCreated": plan.created,
        "podsRemoved": plan.removed,
        "podsNow": plan.pods_now,
        "peakPods": plan.peak_pods,
        "peakAccelerators": dict(plan.peak_accelerators),
        "obstacle": plan.obstacle,
    }


def _stage_document(stage: Stage) -> dict[str, Any]:
    return {
        "phase": stage.phase.value,
        "step": stage.step,
        "weightPercent": stage.weight_percent,
        "beginsAfterSeconds": int(stage.begins_after.total_seconds()),
        "createdNew": stage.created_new,
        "createdOld": stage.created_old,
        "removedNew": stage.removed_new,
        "removedOld": stage.removed_old,
        "podsNew": stage.pods_new,
        "podsOld": stage.pods_old,
        "peakPods": stage.peak_pods,
        "waitsForCommand": stage.needs_command,
    }
