"""`tidemill run`, `runs` and `show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import exits
from service.cli.arguments import (
    Asker,
    Limit,
    Param,
    Params,
    Priority,
    RunId,
    asker,
    parse_json,
    parse_params,
    read_text,
)
from service.cli.options import AsJson, ConfigFile

PAGE = 1000

if TYPE_CHECKING:
    from service.client import Client


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(run)
    app.command()(runs)
    app.command()(show)


def run(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="The pipeline to run.")],
    param: Param = None,
    params: Params = None,
    data: Annotated[
        str | None, typer.Option(metavar="JSON", help="What the event carries; `-` reads standard input.")
    ] = None,
    event_id: Annotated[
        str | None, typer.Option("--id", help="The event's id: with the same one it is the same run, however often.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag to find the run by; may be repeated.")] = None,
    priority: Priority = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until the run is finished.")] = False,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a run by hand.

    With --wait it exits with 0 when the run succeeded, 1 when it failed or was cancelled, 3 when it waits for somebody
    to decide a gate.

    Example: tidemill run flights --param months=6 --wait
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    given = parse_json(read_text(Path(data)) if data == "-" else data, "--data") if data else None
    client = open_client(config_file)
    answer = client.run(pipeline, parse_params(param, params), given, event_id, asker(by, client), tag or (), priority)
    run_id = _started(answer)
    if run_id is not None and wait:
        wait_for(client, run_id, as_json=as_json)
    if as_json:
        print_json(answer)
    elif run_id is not None:
        typer.echo(f"run {run_id} of {pipeline} is accepted: tidemill show {run_id}")
    if run_id is None:
        _refused(answer, pipeline)


def runs(
    pipeline: Annotated[str | None, typer.Option(help="Only runs of this pipeline.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="Only runs in this state: queued, running, waiting, succeeded, failed, cancelled."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Only runs with this tag; may be repeated: with all of them.")
    ] = None,
    limit: Limit = 20,
    before: Annotated[int | None, typer.Option(metavar="RUN", help="Only runs older than this one.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Example: tidemill runs --pipeline flights --state failed
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say

    page = open_client(config_file).runs(pipeline=pipeline, state=state, limit=limit, before=before, tags=tag or ())
    if as_json:
        print_json(page)
        return
    from service.cli.views.runs import print_runs
    from triggers.event import utc_now

    print_runs(page, utc_now())
    if page["next"] is not None:
        say(f"older ones: --before {page['next']}")
    if waiting := page["reviews_open"]:
        say(f"{waiting} failed {'run waits' if waiting == 1 else 'runs wait'} for a person: tidemill reviews")


Events = Annotated[bool, typer.Option("--events", help="Only the events that share the run, with what they carry.")]


def show(run: RunId, events: Events = False, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show all about a run, and what to do next.

    Its stages with attempts, metrics and artifacts, its gates, its timings, and the event that caused it.

    Example: tidemill show 12
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    found = every_event(client, run) if events else client.show(run)
    if as_json:
        print_json(found)
        return
    from service.cli.views.events import print_run_events
    from service.cli.views.run import print_run
    from triggers.event import utc_now

    (print_run_events if events else print_run)(found, utc_now())


def every_event(client: Client, run: int) -> dict[str, Any]:
    """All events that share a run."""
    page = client.run_events(run, limit=PAGE)
    events = page["events"]
    while page["next"] is not None:
        page = client.run_events(run, limit=PAGE, after=page["next"])
        events += page["events"]
    return {"run": run, "events": events}


def _started(answer: dict[str, Any]) -> int | None:
    """The run an answer tells of, if the event led to one."""
    return next((run for event in answer["events"] for run in event["runs"]), None)


def _refused(answer: dict[str, Any], pipeline: str) -> None:
    event = answer["events"][0]
    typer.echo(f"tidemill: {pipeline} was not started: {event['fate']}: {event['reason']}", err=True)
    raise typer.Exit(exits.FAILED)


def wait_for(client: Client, run_id: int, *, as_json: bool) -> None:
    """Follow the run, tell how it ended, and exit by that."""
    from service.cli.follow import exit_code, follow
    from service.cli.output import print_json
    from service.cli.views.progress import show_progress
    from service.cli.views.run import print_ending

    try:
        last = show_progress(follow(client, run_id))
    except KeyboardInterrupt:
        typer.echo(f"\nrun {run_id} goes on: tidemill show {run_id}", err=True)
        raise
    if as_json:
        print_json(last)
    else:
        print_ending(last)
    sys.stdout.flush()
    raise typer.Exit(exit_code(last) or 0)
