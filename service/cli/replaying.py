"""`tidemill replay`: an event's run once more, beside the old one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.arguments import Asker, asker
from service.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from service.client import Client

Recorded = Annotated[str, typer.Argument(metavar="EVENT", help="The event's id or key, as `tidemill events` has it.")]
Of = Annotated[
    str | None, typer.Option(metavar="NAME", help="Whose run, where the event has runs of several pipelines, or none.")
]
On = Annotated[
    str,
    typer.Option("--on", metavar="VERSION", help="`latest`, or an earlier one: see `tidemill versions`."),
]
Effects = Annotated[
    bool, typer.Option("--effects", help="Let it change things outside: models, aliases, events, people's gates.")
]
NoReuse = Annotated[bool, typer.Option("--no-reuse", help="Run every stage, also where its result is known.")]
Wait = Annotated[bool, typer.Option("--wait", "-w", help="Wait for its end, and show how it differs from the old run.")]
Id = Annotated[
    str | None, typer.Option("--id", help="What identifies it: with the same one it is the same replay, however often.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    event: Recorded,
    pipeline: Of = None,
    on: On = "latest",
    effects: Effects = False,
    no_reuse: NoReuse = False,
    wait: Wait = False,
    replay_id: Id = None,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline again for an event that was accepted, beside the run it had.

    In shadow: no model is registered, no alias moved, no event emitted, nobody asked at a gate; `tidemill show` lists
    what would have been done. The old run and the event's fate stay as they are. With --wait it exits like
    `run --wait`.

    Example: tidemill replay 2013-01 --pipeline flights --wait
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    wanted = {"pipeline": pipeline, "on": on, "effects": effects, "reuse": not no_reuse}
    answer = client.replay(event, key=replay_id, by=asker(by, client), **wanted)
    if wait:
        _wait(client, answer, as_json=as_json)
    if as_json:
        print_json(answer)
        return
    shadow = " in shadow" if answer["shadow"] else ""
    typer.echo(f"run {answer['run']} of {answer['pipeline']} {answer['version']} replays it{shadow}")
    if answer["of_run"] is not None:
        typer.echo(f"when it is done: tidemill diff {answer['of_run']} {answer['run']}")


def _wait(client: Client, answer: dict[str, Any], *, as_json: bool) -> None:
    """Follow the new run, show what it would have done and how it differs, and exit by how it ended."""
    from service.cli.follow import exit_code, follow
    from service.cli.output import print_json
    from service.cli.views.comparing import print_diff
    from service.cli.views.progress import show_progress
    from service.cli.views.run import print_effects, print_ending

    last = show_progress(follow(client, answer["run"]))
    found = client.diff(answer["of_run"], answer["run"]) if answer["of_run"] is not None else None
    if as_json:
        print_json({**answer, "state": last["state"], "effects": last["effects"], "diff": found})
    else:
        print_ending(last)
        print_effects(last)
        if found is not None:
            print_diff(found)
    sys.stdout.flush()
    raise typer.Exit(exit_code(last) or 0)
