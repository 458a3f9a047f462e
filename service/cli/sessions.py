"""`tidemill sessions`: ending those of browsers."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import Asker, asker
from service.cli.options import AsJson, ConfigFile
from service.errors import Invalid


def register(app: typer.Typer) -> None:
    """Add the command."""
    sessions = typer.Typer(no_args_is_help=True, help="Sessions of browsers in which somebody signed in.")
    # One command would else be all of it, without its name.
    sessions.callback()(lambda: None)
    sessions.command("end")(end)
    app.add_typer(sessions, name="sessions")


def end(
    person: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Whose: their name, or their subject at the provider.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="Those of all people.")] = False,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """End the sessions of somebody, in all browsers. Within seconds they have to sign in again.

    Example: tidemill sessions end kim
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say

    if (person is None) != everybody:
        raise Invalid("say whose sessions to end: a name, or --everybody")
    client = open_client(config_file)
    answer = client.end_sessions(person, by=asker(by, client))
    if as_json:
        print_json(answer)
        return
    typer.echo(f"the sessions of {person or 'everybody'} are over: who may sign in has to do so again")
    if person is not None and answer["signed_in_at"] is None:
        say(f"nobody called {person} has signed in of late: tidemill audit --action sign-in tells who has")
