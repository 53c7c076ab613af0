"""``explain``: a reason, or what is wrong with a resource now and what to do."""

import functools
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from kubectl_llm import terminal
from kubectl_llm.exits import ExitCode
from kubectl_llm.explanation import Explanation, explain_reason, explain_status, is_reason
from kubectl_llm.session import Context, Kubeconfig, Namespace, Session, finish, run
from llm_operator.cluster.transport import UserAccess

_Subject = Annotated[
    str, typer.Argument(help="A reason such as ImagePullFailed, or the name of a resource.")
]


def explain(
    subject: _Subject,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Say what a reason means, or what is wrong with a resource now, and what to do."""
    if is_reason(subject):
        finish(lambda: _print_reason(subject))
        return
    verb = functools.partial(_explain_resource, name=subject)
    run(UserAccess(kubeconfig, context), namespace, verb)


def _print_reason(named: str) -> ExitCode:
    _print(terminal.output(), [explain_reason(named)])
    return ExitCode.OK


async def _explain_resource(session: Session, name: str) -> ExitCode:
    resource = await session.client.resource(session.namespace, name)
    status = resource.get("status") or {}
    found = explain_status(status)
    if found:
        _print(session.console, found)
    elif status:
        session.console.print(f"Nothing is wrong with {name}.")
    else:
        session.console.print(f"The operator has not looked at {name} yet; is it running?")
    return ExitCode.OK


def _print(console: Console, explanations: Iterable[Explanation]) -> None:
    for one in explanations:
        subject = f"{one.subject}: " if one.subject else ""
        console.print(Text.assemble(subject, (one.reason, "bold")))
        for label, text in (("", one.message), ("Meaning: ", one.meaning), ("Do: ", one.next_step)):
            if text:
                console.print(f"  {label}{text}")
