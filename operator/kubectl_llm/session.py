"""One run of a verb: connect as the user, run, and turn what is expected to fail into an exit.

``on_cluster`` gives a verb the options that every ``kubectl`` command has, so that they may stand
behind the verb, where ``kubectl llm`` users write them.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer
from rich.console import Console

from kubectl_llm import terminal
from kubectl_llm.client import KindMissing, UserClient
from kubectl_llm.exits import ExitCode
from kubectl_llm.failures import KIND_IS_MISSING, Refusal, refusal_from
from llm_operator.cluster.errors import ApiError
from llm_operator.cluster.transport import UserAccess, connect_as_user

P = ParamSpec("P")

_REQUEST_SECONDS: Final = 15.0

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Absent: the namespace of the context.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="Absent: $KUBECONFIG, else ~/.kube/config.")
]
_OPTIONS: Final = {"namespace": Namespace, "context": Context, "kubeconfig": Kubeconfig}


@dataclass(frozen=True, slots=True)
class Session:
    """What a verb works with."""

    client: UserClient
    namespace: str
    console: Console


def on_cluster(
    verb: Callable[Concatenate[Session, P], Awaitable[ExitCode]],
) -> Callable[..., None]:
    """Make a command out of a verb; its ``session`` becomes the options that lead to one."""

    @functools.wraps(verb)
    def command(**arguments: Any) -> None:
        namespace = arguments.pop("namespace")
        access = UserAccess(arguments.pop("kubeconfig"), arguments.pop("context"))
        run(access, namespace, functools.partial(verb, **arguments))

    own = list(inspect.signature(verb, eval_str=True).parameters.values())[1:]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in _OPTIONS.items()
    ]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [*(parameter.replace(kind=keyword) for parameter in own), *added]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del command.__wrapped__  # typer must read the new signature
    return command


def run(
    access: UserAccess, namespace: str | None, verb: Callable[[Session], Awaitable[ExitCode]]
) -> None:
    """Run a verb on the cluster and end the process as it says."""
    finish(lambda: asyncio.run(_in_session(access, namespace, verb)))


def finish(work: Callable[[], ExitCode]) -> None:
    """Run ``work`` and end the process with its code; a refusal is one sentence on stderr."""
    try:
        code = work()
    except Refusal as refusal:
        terminal.complaints().print(refusal.message)
        code = refusal.code
    if code is not ExitCode.OK:
        raise typer.Exit(int(code))


async def _in_session(
    access: UserAccess,
    namespace: str | None,
    verb: Callable[[Session], Awaitable[ExitCode]],
) -> ExitCode:
    try:
        connection = await connect_as_user(access, _REQUEST_SECONDS)
    except ConnectionError as error:
        raise Refusal(f"{str(error).rstrip('.')}.", ExitCode.UNREACHABLE) from error
    client = UserClient(connection.transport)
    session = Session(client, namespace or connection.namespace, terminal.output())
    try:
        return await verb(session)
    except KindMissing as error:
        raise Refusal(KIND_IS_MISSING, ExitCode.UNREACHABLE) from error
    except ApiError as error:
        raise refusal_from(error) from error
    finally:
        await client.close()
