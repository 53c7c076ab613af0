"""The commands of ``llm-server``: read the settings, run the server, say why when it cannot."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog

from llm_server import contract, logs, settings
from llm_server.models import environment, failures
from llm_server.models.failures import StartupError
from llm_server.models.source import ModelSource, parse_source
from llm_server.settings import ServerSettings

_USAGE = """usage: llm-server serve [--help] [options]

Serves a language model over an OpenAI-compatible API. With no options it serves the model that
it ships with. `llm-server serve --help` lists every setting.
"""


def run(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Run a command; return the exit code."""
    match arguments:
        case ["serve", *flags]:
            logs.configure()
            return _serve(flags, environ)
        case ["--version"]:
            from llm_server.assembly import version  # noqa: PLC0415

            sys.stdout.write(f"llm-server {version()}\n")
            return 0
        case ["-h" | "--help"]:
            sys.stdout.write(_USAGE)
            return 0
        case _:
            sys.stderr.write(_USAGE)
            return 2


def _serve(flags: list[str], environ: Mapping[str, str]) -> int:
    log = structlog.get_logger()
    try:
        chosen = settings.parse(flags, environ)
        source = parse_source(chosen.model)
        environment.prepare(chosen.cache_dir or environment.default_cache_dir(environ), os.environ)
        return _run_server(chosen, source)
    except StartupError as error:
        # The message is written for people; a stack would bury it.
        log.error("Server could not start", reason=error.reason.value, message=error.message)  # noqa: TRY400
        _leave_reason(error)
        return 1


def _run_server(chosen: ServerSettings, source: ModelSource) -> int:
    import uvloop  # noqa: PLC0415  # --help and a wrong setting answer without these

    from llm_server.ending import EngineBroke  # noqa: PLC0415
    from llm_server.process import ServerProcess  # noqa: PLC0415

    server = ServerProcess(chosen, source)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.run())
    except EngineBroke as error:
        reason = error.why.reason.value
        structlog.get_logger().error("The engine broke", reason=reason, error=str(error))
        _leave_reason(error.why)
        return 1
    return 0


def _leave_reason(error: StartupError) -> None:
    """Write the termination log where there is one: in a pod."""
    path = Path(contract.TERMINATION_LOG_PATH)
    if path.exists():
        failures.write_termination_log(error, path)
