"""``history``: the kept revisions with what became of them."""

from typing import Any

from kubectl_llm import drawing, terminal
from kubectl_llm.exits import ExitCode
from kubectl_llm.ledger import Ledger, read_ledger
from kubectl_llm.session import Session
from kubectl_llm.stored import asked_revision
from kubectl_llm.verbs.options import Name, Output, OutputFormat


async def history(session: Session, name: Name, output: Output = OutputFormat.TEXT) -> ExitCode:
    """List the kept revisions: number, hash, verdict, times, source, image, and what is now."""
    ledger = await fetch_ledger(session, name)
    if output is OutputFormat.JSON:
        terminal.print_json(_document(ledger))
    else:
        session.console.print(drawing.history_table(ledger))
    return ExitCode.OK


async def fetch_ledger(session: Session, name: str) -> Ledger:
    """Read the history of a resource."""
    resource = await session.client.resource(session.namespace, name)
    belongings = await session.client.belongings(session.namespace, name)
    return read_ledger(resource, belongings.revisions, asked_revision(resource))


def _document(ledger: Ledger) -> list[dict[str, Any]]:
    return [
        {
            "number": revision.number,
            "revision": revision.hash,
            "verdict": revision.record.verdict,
            "reason": revision.record.reason,
            "startedAt": revision.record.started_at,
            "endedAt": revision.record.ended_at,
            "image": revision.server_image,
            "imageDigest": revision.record.image_digest,
            "modelCommit": revision.record.model_commit,
            "now": list(ledger.marks(revision)),
            "spec": revision.spec,
        }
        for revision in ledger.revisions
    ]
