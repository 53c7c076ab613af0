"""``plan``: what applying a manifest would do, before anything is applied."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from kubectl_llm import terminal
from kubectl_llm.client import Belongings
from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from kubectl_llm.manifest import (
    SERVER_SIDE_MANAGER,
    ApplyStyle,
    apply_style,
    manager_of,
    merged_spec,
    read_manifest,
)
from kubectl_llm.plan_page import document, plan_page
from kubectl_llm.planning import Proposal, make_plan
from kubectl_llm.session import Session
from kubectl_llm.verbs.options import Output, OutputFormat
from llm_operator.cluster.errors import Invalid, NotFound

_File = Annotated[str, typer.Option("--filename", "-f", help="Manifest; - is standard input.")]
_Name = Annotated[str | None, typer.Option("--name", help="Which one, if the file has several.")]


async def plan(
    session: Session, filename: _File, name: _Name = None, output: Output = OutputFormat.TEXT
) -> ExitCode:
    """Foretell a change: fields, revision, shares, pods over time, accelerators at the peak."""
    manifest = read_manifest(_read(filename), name)
    proposal, style = await _propose(session, manifest)
    foretold = make_plan(proposal, datetime.now(UTC).replace(microsecond=0))  # noqa: TID251 - edge
    if output is OutputFormat.JSON:
        terminal.print_json(document(foretold, style))
    else:
        session.console.print(plan_page(proposal.name, foretold, style))
    return ExitCode.STALLED if foretold.obstacle else ExitCode.OK


def _read(filename: str) -> str:
    try:
        return sys.stdin.read() if filename == "-" else Path(filename).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{filename} cannot be read: {error}.", ExitCode.NOT_FOUND) from error


async def _propose(session: Session, manifest: dict[str, Any]) -> tuple[Proposal, ApplyStyle]:
    metadata = manifest["metadata"]
    namespace, name = str(metadata.get("namespace") or session.namespace), str(metadata["name"])
    try:
        live = await session.client.resource(namespace, name)
    except NotFound:
        live = None
    style = apply_style(live)
    proposal = Proposal(
        namespace=namespace,
        name=name,
        live=live,
        spec=await _spec_after(session, live, manifest, namespace),
        belongings=await session.client.belongings(namespace, name) if live else _NOTHING,
        optional_kinds=await session.client.optional_kinds(),
    )
    return proposal, style


_NOTHING = Belongings((), (), ())


async def _spec_after(
    session: Session, live: dict[str, Any] | None, manifest: dict[str, Any], namespace: str
) -> Any:
    if apply_style(live) is not ApplyStyle.SERVER_SIDE or live is None:
        return merged_spec(live, manifest)
    manager = manager_of(live) or SERVER_SIDE_MANAGER
    try:
        previewed = await session.client.preview(manifest, namespace, manager)
    except Invalid as error:
        raise Refusal(f"Not valid: {error.message.rstrip('.')}.", ExitCode.INVALID) from error
    return previewed["spec"]
