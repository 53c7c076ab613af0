"""``diff``: what differs between two revisions, or between one and the live spec."""

from typing import Annotated, Any

import typer

from kubectl_llm import drawing, terminal
from kubectl_llm.changes import Change, compare
from kubectl_llm.exits import ExitCode
from kubectl_llm.ledger import read_ledger
from kubectl_llm.session import Session
from kubectl_llm.stored import asked_revision
from kubectl_llm.verbs.options import Name, Output, OutputFormat

_Revision = Annotated[str | None, typer.Argument(help="Number or hash of a revision.")]


async def diff(
    session: Session,
    name: Name,
    before: _Revision = None,
    after: _Revision = None,
    output: Output = OutputFormat.TEXT,
) -> ExitCode:
    """Compare revisions: BEFORE (default: stable) with AFTER (default: the live spec)."""
    resource = await session.client.resource(session.namespace, name)
    belongings = await session.client.belongings(session.namespace, name)
    live = asked_revision(resource)
    ledger = read_ledger(resource, belongings.revisions, live)
    old = ledger.find(before or ledger.stable or "1").spec
    new = ledger.find(after).spec if after else (live or {})
    changes = compare(old, new)
    if output is OutputFormat.JSON:
        terminal.print_json([document(change) for change in changes])
    elif changes:
        session.console.print(*drawing.changes_lines(changes), sep="\n")
    else:
        session.console.print("No difference.")
    return ExitCode.OK


def document(change: Change) -> dict[str, Any]:
    """Return a change for programs."""
    return {
        "field": change.path,
        "before": change.before,
        "after": change.after,
        "effect": change.effect.value,
    }
