"""`tidemill pause` and `unpause`."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import Asker, asker
from service.cli.options import AsJson, ConfigFile

What = Annotated[
    str,
    typer.Argument(
        metavar="TRIGGER|PIPELINE", help="A trigger as `tidemill triggers` names it, or a pipeline: all its triggers."
    ),
]
Reason = Annotated[str, typer.Option(help="Why, for those who read it later.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pause)
    app.command()(unpause)


def pause(
    what: What, reason: Reason = "", by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Let a trigger, or all of a pipeline, start nothing until it is unpaused.

    Its events are accepted all the same, with the fate `paused`. Runs that were started go on; a start by hand is not
    held back.

    Example: tidemill pause flights --reason "the landing zone is being moved"
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).pause(what, reason=reason, by=asker(by))
    if as_json:
        print_json(answer)
        return
    why = f": {answer['reason']}" if answer["reason"] else ""
    typer.echo(f"{answer['name']} is paused by {answer['by']}{why}")
    typer.echo(f"go on with: tidemill unpause {_quoted(answer['name'])}")


def unpause(what: What, by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Let a trigger or a pipeline that was paused start runs again.

    What came meanwhile stays as it is: `tidemill events --fate paused` lists it.

    Example: tidemill unpause flights
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).unpause(what, by=asker(by))
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{answer['name']} is not paused any more")
    typer.echo("what came meanwhile: tidemill events --fate paused")


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(name)
