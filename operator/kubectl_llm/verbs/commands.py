"""The commands: tell the operator what to do with a rollout, and print what became of it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

import typer

from kubectl_llm.answer import Answer, answer_to, revision_meant, was_seen
from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import Refusal
from kubectl_llm.session import Session
from kubectl_llm.stored import status_of
from kubectl_llm.verbs.options import Name
from llm_operator import kinds
from llm_operator.api.command import Command, CommandVerb

_LOOK_SECONDS: Final = 0.5
_NONCE_BYTES: Final = 5

_Wait = Annotated[
    float, typer.Option("--wait-seconds", min=0, max=600, help="How long to wait for the answer.")
]

DESCRIPTIONS: Final[Mapping[CommandVerb, str]] = {
    CommandVerb.PROMOTE: "Promote the new revision now, without the remaining steps.",
    CommandVerb.PROMOTE_STEP: "Go on to the next step without waiting for judgement or pause.",
    CommandVerb.ABORT: "Roll back to the stable revision and reject the new one.",
    CommandVerb.RETRY: "Start the rollout of a rejected revision again.",
    CommandVerb.PAUSE: "Keep the rollout at its weight; judgement and rollback go on.",
    CommandVerb.RESUME: "Go on with the next step of a paused rollout.",
}


def command_verb(verb: CommandVerb) -> Callable[..., Awaitable[ExitCode]]:
    """Return the verb of the command line that gives one command."""

    async def give(session: Session, name: Name, wait_seconds: _Wait = 15.0) -> ExitCode:
        resource = await session.client.resource(session.namespace, name)
        command = _command(verb, resource)
        written = await session.client.annotate(resource, kinds.COMMAND_ANNOTATION, str(command))
        return await _report(session, written, command, wait_seconds)

    give.__doc__ = DESCRIPTIONS[verb]
    return give


def _command(verb: CommandVerb, resource: Mapping[str, Any]) -> Command:
    revision = revision_meant(status_of(resource))
    if revision is None:
        name = resource["metadata"]["name"]
        message = f"{name} has no revision yet: its operator has not looked at it."
        raise Refusal(message, ExitCode.STALE_COMMAND)
    return Command(verb, revision, secrets.token_hex(_NONCE_BYTES))


async def _report(
    session: Session, resource: Mapping[str, Any], command: Command, wait_seconds: float
) -> ExitCode:
    name = resource["metadata"]["name"]
    answer = await _await_answer(session, resource, command, wait_seconds)
    said = f"{command.verb.value} {name} (revision {command.revision})"
    if answer is None:
        message = f"{said}: written, but not answered within {wait_seconds:g} s."
        raise Refusal(message, ExitCode.NOT_EXECUTED)
    if not answer.was_executed:
        raise Refusal(f"{said}: not executed. {answer.message}", ExitCode.STALE_COMMAND)
    session.console.print(f"{said}: executed.")
    return ExitCode.OK


async def _await_answer(
    session: Session, resource: Mapping[str, Any], command: Command, wait_seconds: float
) -> Answer | None:
    """Look for the event that answers, once the status shows that the operator saw the command."""
    metadata = resource["metadata"]
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + wait_seconds
    while True:
        current = await session.client.resource(metadata["namespace"], metadata["name"])
        if was_seen(command, status_of(current)):
            events = await session.client.events(metadata["namespace"], metadata["uid"])
            answer = answer_to(command, events)
            if answer is not None:
                return answer
        if loop.time() >= give_up_at:
            return None
        await asyncio.sleep(_LOOK_SECONDS)
