"""The command line: every verb under its name."""

from typing import Final

import typer

from kubectl_llm.session import on_cluster
from kubectl_llm.verbs import commands, diff, explain, get, history, plan, status, undo

COMMAND: Final = "kubectl llm"


def make_app() -> typer.Typer:
    """Return the command line."""
    app = typer.Typer(
        name=COMMAND,
        help="Look at LLMDeployments, steer their rollouts, and see what a change would do.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.command("get")(on_cluster(get.get))
    app.command("status")(on_cluster(status.status))
    for verb in commands.DESCRIPTIONS:
        app.command(verb.value)(on_cluster(commands.command_verb(verb)))
    app.command("plan")(on_cluster(plan.plan))
    app.command("undo")(on_cluster(undo.undo))
    app.command("history")(on_cluster(history.history))
    app.command("diff")(on_cluster(diff.diff))
    app.command("explain")(explain.explain)
    return app
