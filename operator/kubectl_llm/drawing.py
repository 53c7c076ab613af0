"""Tables and lines for people. Nothing is decided here."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kubectl_llm.changes import Change
from kubectl_llm.ledger import Ledger
from kubectl_llm.overview import Overview, elapsed, waits_for
from llm_operator.api.schema import Effect
from llm_operator.api.status import RolloutPhase

_VERDICT_STYLES: Final = {"Promoted": "green", "Rejected": "red"}
_PHASE_STYLES: Final = {
    "Ready": "green",
    "Progressing": "cyan",
    "Pending": "cyan",
    "Stalled": "red",
    "Invalid": "red",
    "Degraded": "yellow",
}
_BAR_CELLS: Final = 20
_DIGEST_DIGITS: Final = 12
_EFFECT_WORDS: Final = {Effect.HOT: "hot", Effect.REVISION: "new revision"}


def table(*columns: str) -> Table:
    """Return an empty table in the manner of ``kubectl get``."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=True)
    return made


def short_image(image: str) -> str:
    """Return an image reference without its registry."""
    return image.rsplit("/", maxsplit=1)[-1]


def short_digests(recorded: str) -> str:
    """Return the first digits of each recorded digest or commit, in parentheses; empty for none."""
    digests = (digest.removeprefix("sha256:") for digest in recorded.split(",") if digest)
    short = ", ".join(digest[:_DIGEST_DIGITS] for digest in digests)
    return f" ({short})" if short else ""


def history_table(ledger: Ledger) -> Table:
    """Return the kept revisions, newest first."""
    columns = ("N", "REVISION", "VERDICT", "REASON", "STARTED", "ENDED", "SOURCE", "IMAGE", "NOW")
    made = table(*columns)
    for revision in ledger.revisions:
        record = revision.record
        verdict = record.verdict.value if record.verdict else "-"
        source = str(revision.spec.get("model", {}).get("source", "-"))
        made.add_row(
            str(revision.number),
            revision.hash,
            Text(verdict, style=_VERDICT_STYLES.get(verdict, "")),
            record.reason or "-",
            record.started_at or "-",
            record.ended_at or "-",
            source + short_digests(record.model_commit),
            short_image(revision.server_image) + short_digests(record.image_digest),
            ", ".join(ledger.marks(revision)) or "-",
        )
    return made


def changes_lines(changes: Iterable[Change]) -> list[Text]:
    """Return two lines for each change, as ``diff`` has them, below the field and its effect."""
    lines = []
    for change in changes:
        lines.append(Text.assemble((change.path, "bold"), f"  ({_EFFECT_WORDS[change.effect]})"))
        if change.before is not None:
            lines.append(Text(f"- {value_text(change.before)}", style="red"))
        if change.after is not None:
            lines.append(Text(f"+ {value_text(change.after)}", style="green"))
    return lines


def overviews_table(overviews: Iterable[Overview]) -> Table:
    """Return one line per resource."""
    columns = ("NAMESPACE", "NAME", "PHASE", "READY", "STEP", "WEIGHT", "VERDICT", "REVISION")
    made = table(*columns, "MODEL")
    for one in overviews:
        made.add_row(
            one.namespace,
            one.name,
            _phase(one),
            _ready(one),
            one.step,
            one.share,
            one.verdict,
            one.status.stable_revision or "-",
            one.source,
        )
    return made


def status_line(overview: Overview) -> str:
    """Return how a resource stands, on one line that changes only with news."""
    if not overview.is_observed:
        return f"{overview.name}: waiting for the operator to see the spec"
    rollout = overview.rollout
    phase = rollout.phase if rollout else None
    parts = [overview.phase, f"{_ready(overview)} ready"]
    if rollout is not None and phase is not None and phase is not RolloutPhase.STABLE:
        step = f" {overview.step}" if overview.step != "-" else ""
        parts += [
            f"{overview.state}{step}",
            f"weight {overview.share}",
            f"verdict {overview.verdict}",
        ]
        parts += [overview.told, waits_for(overview)]
    return f"{overview.name}: {', '.join(part for part in parts if part)}"


def overview_page(overview: Overview, now: datetime) -> Group:
    """Return everything there is to see of one resource."""
    status = overview.status
    head = Text.assemble((overview.name, "bold"), "  ", _phase(overview))
    head.append(f"  {_ready(overview)} ready  {overview.source}  {status.endpoint or ''}")
    parts: list[RenderableType] = [head]
    if not overview.is_observed:
        parts.append("The operator has not seen the spec as it is now.")
    parts += _rollout_lines(overview, now)
    if overview.pods:
        parts += ["", _pods_table(overview)]
    if overview.conditions:
        parts += ["", _conditions_table(overview, now)]
    if overview.causes:
        parts += ["", *_cause_lines(overview)]
    return Group(*parts)


def _phase(overview: Overview) -> Text:
    phase = overview.phase or "-"
    return Text(phase, style=_PHASE_STYLES.get(phase, ""))


def _ready(overview: Overview) -> str:
    status = overview.status
    return f"{status.ready_replicas or 0}/{status.desired_replicas or 0}"


def _rollout_lines(overview: Overview, now: datetime) -> list[RenderableType]:
    rollout = overview.rollout
    if rollout is None or rollout.phase in (None, RolloutPhase.STABLE):
        return []
    strategy = f"{rollout.frozen.strategy.value}, " if rollout.frozen else ""
    since = elapsed(rollout.started_at, now)
    lines: list[RenderableType] = [
        "",
        f"{overview.state}: {strategy}revision {rollout.target}, begun {since} ago",
    ]
    if overview.step != "-":
        in_step = elapsed(rollout.step_started_at, now)
        weight = rollout.effective_weight_percent or rollout.weight_percent or 0
        lines.append(f"  step {overview.step}  {_bar(weight)}  {overview.share}  for {in_step}")
    if rollout.verdict:
        lines.append(f"  verdict {overview.verdict}")
    lines += [f"  {text}" for text in (rollout.message, waits_for(overview)) if text]
    return lines


def _bar(percent: int) -> str:
    filled = round(percent * _BAR_CELLS / 100)
    return f"[{'#' * filled}{'.' * (_BAR_CELLS - filled)}]"


def _pods_table(overview: Overview) -> Table:
    made = table("REVISION", "ROLE", "READY", "STARTING", "ENDING", "RESTARTS")
    for row in overview.pods:
        counts = (row.ready, row.starting, row.ending, row.restarts)
        made.add_row(row.revision, row.role, *(str(count) for count in counts))
    return made


def _conditions_table(overview: Overview, now: datetime) -> Table:
    made = table("CONDITION", "STATUS", "REASON", "SINCE")
    made.add_column("MESSAGE", overflow="fold")
    for condition in overview.conditions:
        since = elapsed(condition.last_transition_time, now)
        made.add_row(
            condition.type.value,
            condition.status.value,
            condition.reason.value,
            since,
            condition.message,
        )
    return made


def _cause_lines(overview: Overview) -> list[RenderableType]:
    return [
        Text.assemble(
            f"{cause.count} not ready: ",
            (cause.reason.value, "bold"),
            f" {cause.message}" + (f" ({cause.pod})" if cause.pod else ""),
        )
        for cause in overview.causes
    ]


def value_text(value: Any) -> str:
    """Return a value of a spec on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
