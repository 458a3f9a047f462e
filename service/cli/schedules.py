"""`tidemill schedule`, `backfill` and `backfills`."""

from __future__ import annotations

import sys
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service import exits
from service.cli.arguments import Asker, Limit, asker
from service.cli.options import AsJson, ConfigFile
from service.errors import Invalid

if TYPE_CHECKING:
    from service.client import Client

TRIGGER = "PIPELINE/TRIGGER, or a pipeline that has one schedule."
STOP = "stop"
# The length of `2026-01-31`.
DAY = 10


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(schedule)
    app.command()(backfill)
    app.command()(backfills)


def schedule(
    trigger: Annotated[str, typer.Argument(metavar="TRIGGER", help=TRIGGER)],
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000, help="How many ticks each way.")] = 10,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the latest ticks of a schedule with what became of them, and the coming ones.

    Example: tidemill schedule flights --count 5
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).schedule(trigger, count)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.schedules import print_schedule

    print_schedule(answer)


def instant(text: str) -> datetime:
    """An instant or a day: with a zone, or else in UTC."""
    from datetime import UTC

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(f"{text!r} is no time: write 2026-01-31, or 2026-01-31T06:00+01:00") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def day_or_instant(text: str) -> date:
    """A day alone as such: the daemon knows the schedule's time zone. Else an instant."""
    try:
        return date.fromisoformat(text) if len(text) == DAY else instant(text)
    except ValueError:
        return instant(text)


Number = Annotated[int | None, typer.Argument(metavar="[ID]", help="With `stop`: the backfill's number.")]
Since = Annotated[
    date | None,
    typer.Option("--from", parser=day_or_instant, metavar="TIME", help="The first due time, or day in its zone."),
]
Until = Annotated[
    date | None,
    typer.Option(
        "--to", parser=day_or_instant, metavar="TIME", help="The last due time, or day to its end; default: now."
    ),
]
Parallel = Annotated[int, typer.Option(min=1, max=10_000, help="Runs under way at once, over all daemons.")]
StopOnFailure = Annotated[bool, typer.Option("--stop-on-failure", help="Start no more ticks once a run failed.")]
Lowest = Annotated[int, typer.Option(min=-100, max=100, help="Of its runs; the lowest lets all others go first.")]


def backfill(
    trigger: Annotated[str, typer.Argument(metavar="TRIGGER", help=f"{TRIGGER} Or `stop`, and the number of one.")],
    number: Number = None,
    since: Since = None,
    until: Until = None,
    max_parallel: Parallel = 1,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="Begin with the latest tick.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also run ticks that ran already.")] = False,
    stop_on_failure: StopOnFailure = False,
    priority: Lowest = -100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which ticks there are.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Do not wait for it.")] = False,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run a schedule's ticks of a stretch of time: those that ran already are left out.

    It shows how far it is until the end, and exits with 1 when a tick went wrong or it was stopped. Ctrl-C leaves it
    going. `tidemill backfill stop ID` starts no more ticks of one; runs that are under way go on.

    Example: tidemill backfill flights --from 2026-01-01 --to 2026-01-31 --max-parallel 4 --dry-run
    """
    from service.cli.connection import open_client

    client = open_client(config_file)
    if trigger == STOP:
        _stop(client, number, asker(by, client), as_json=as_json)
        return
    if number is not None or since is None:
        raise Invalid("say from when: tidemill backfill TRIGGER --from 2026-01-01 --to 2026-01-31")
    wanted: dict[str, Any] = {"max_parallel": max_parallel, "order": "newest" if newest_first else "oldest"}
    wanted |= {"again": again, "stop_on_failure": stop_on_failure, "priority": priority}
    wanted |= {"dry_run": dry_run, "by": asker(by, client)}
    _begun(client, client.backfill(trigger, since, until, **wanted), wait=not (dry_run or detach), as_json=as_json)


def _begun(client: Client, answer: dict[str, Any], *, wait: bool, as_json: bool) -> None:
    from service.cli.output import print_json, say
    from service.cli.views.schedules import follow_backfill, print_ending, print_plan

    if "id" in answer:
        say(f"ticks due from {answer['from_at']} to {answer['to_at']}")
    if wait:
        try:
            answer = follow_backfill(client, answer)
        except KeyboardInterrupt:
            typer.echo(f"\nbackfill {answer['id']} goes on: tidemill backfills {answer['id']}", err=True)
            raise
    if as_json:
        print_json(answer)
    elif wait:
        print_ending(answer)
    elif "id" in answer:
        typer.echo(f"backfill {answer['id']} of {answer['total']} ticks has begun: tidemill backfills {answer['id']}")
    else:
        print_plan(answer)
    sys.stdout.flush()
    if wait and answer["state"] != "succeeded":
        raise typer.Exit(exits.FAILED)


def _stop(client: Client, number: int | None, by: str | None, *, as_json: bool) -> None:
    from service.cli.output import print_json

    if number is None:
        raise Invalid("say which one: tidemill backfill stop ID; `tidemill backfills` lists them")
    answer = client.stop_backfill(number, by)
    if as_json:
        print_json(answer)
    elif answer["state"] == "running":
        typer.echo(f"backfill {number} starts no more ticks; {answer['under_way']} runs go on")
    else:
        typer.echo(f"backfill {number} is over: {answer['state']}")


def backfills(
    number: Annotated[int | None, typer.Argument(metavar="[ID]", help="Only this one, with its ticks.")] = None,
    limit: Limit = 20,
    before: Annotated[int | None, typer.Option(metavar="ID", help="Only backfills older than this one.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List backfills and how far they are, newest first; or show one.

    Example: tidemill backfills --limit 5
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say

    client = open_client(config_file)
    answer = client.backfills(limit=limit, before=before) if number is None else client.show_backfill(number)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.schedules import print_backfill, print_backfills
    from triggers.event import utc_now

    if number is not None:
        print_backfill(answer, utc_now())
        return
    print_backfills(answer, utc_now())
    if answer["next"] is not None:
        say(f"older ones: --before {answer['next']}")
