"""``undo``: write an old revision back into the spec, as the user, after showing what changes."""

from typing import Annotated

import typer

from kubectl_llm import drawing
from kubectl_llm.changes import compare
from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from kubectl_llm.ledger import read_ledger
from kubectl_llm.session import Session
from kubectl_llm.stored import asked_revision
from kubectl_llm.undoing import operations
from kubectl_llm.verbs.options import Name
from llm_operator.cluster.errors import Conflict

_To = Annotated[
    str | None, typer.Option("--to", help="Number or hash; absent: the revision before.")
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


async def undo(session: Session, name: Name, to: _To = None, *, yes: _Yes = False) -> ExitCode:
    """Go back to an earlier revision; replicas, rollout and other hot fields stay as they are."""
    resource = await session.client.resource(session.namespace, name)
    belongings = await session.client.belongings(session.namespace, name)
    asked = asked_revision(resource)
    ledger = read_ledger(resource, belongings.revisions, asked)
    revision = ledger.find(to) if to else ledger.previous()
    patch = operations(resource["spec"], asked, revision.spec)
    wanted = f"revision {revision.number} ({revision.hash})"
    if not patch:
        session.console.print(f"The spec of {name} is {wanted} already.")
        return ExitCode.OK
    session.console.print(f"{name}: back to {wanted}")
    session.console.print(*drawing.changes_lines(compare(asked or {}, revision.spec)), sep="\n")
    if revision.rejected:
        session.console.print(f"This revision was rejected before ({revision.record.reason}).")
    if not yes:
        typer.confirm("Write this into the spec?", abort=True)
    try:
        await session.client.patch(resource, patch)
    except Conflict as error:
        message = f"{name} was changed by someone else meanwhile; look again and repeat."
        raise Refusal(message) from error
    session.console.print(f"Written. Follow it with `kubectl llm status {name} --watch`.")
    return ExitCode.OK
