"""`tidemill backtest`: what a changed trigger would have done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.arguments import parse_json
from service.cli.firing import given_data, instant
from service.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from service.client import Client

PATIENCE_S = 600.0

Name = Annotated[str, typer.Argument(metavar="TRIGGER", help="The trigger, as `tidemill triggers` names it.")]
Since = Annotated[str | None, typer.Option("--from", metavar="TIME", help="From this time on; default: a day ago.")]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before this time; default: now.")]
Where = Annotated[str | None, typer.Option("--where", metavar="JSON|FILE", help="Another filter.")]
CronText = Annotated[str | None, typer.Option("--cron", metavar="EXPR", help="Another schedule, such as '0 3 * * *'.")]
Interval = Annotated[str | None, typer.Option("--every", metavar="HOW LONG", help="Another interval, such as 15m.")]
Zone = Annotated[str | None, typer.Option("--timezone", metavar="ZONE", help="Of the schedule.")]
Sharing = Annotated[
    str | None,
    typer.Option("--coalesce", metavar="HOW", help="each, batch(EVENTS, SECONDS) or latest(QUIET, SECONDS)."),
]
Edited = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="FILE.py:NAME", help="An edited pipeline file: its trigger of this name is tried here."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)


def backtest(
    trigger: Name,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    cron: CronText = None,
    every: Interval = None,
    timezone: Zone = None,
    coalesce: Sharing = None,
    file: Edited = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a changed filter, schedule or coalescing would have done with the recorded events of a time.

    Nothing is run and nothing is written. An edited file is read by this command, not by the daemon.

    Example: tidemill backtest flights/kafka:data.arrivals --where '{"data.month": {"any": [1, 2]}}'
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file, timeout_s=PATIENCE_S)
    span = {"from": instant(since, "--from"), "to": instant(until, "--to")}
    changes = {
        "where": None if where is None else parse_json(given_data(where) or "", "--where"),
        "cron": cron,
        "every": every,
        "timezone": timezone,
        "coalesce": coalesce,
    }
    found = client.backtest(trigger, **span, **changes) if file is None else _here(client, trigger, file, span, changes)
    if as_json:
        print_json(found)
    else:
        _tell(found)


def _here(
    client: Client, name: str, file: str, span: Mapping[str, str | None], changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The same with a trigger that no daemon has loaded: its code runs in this process alone."""
    import json

    import orjson

    from service.asking.changes import Changes, changed
    from service.asking.edited import edited_trigger
    from service.asking.rehearse_here import rehearse_here

    pipeline, trigger = edited_trigger(file, name)
    answer = rehearse_here(client, pipeline, trigger.name, changed(trigger, Changes(**changes)), span)
    plain: dict[str, Any] = json.loads(orjson.dumps(answer))
    return plain


def _tell(found: Mapping[str, Any]) -> None:
    from service.cli.output import Column, plain, print_table, say

    say(plain(f"{found['trigger']}: {found['events']} events from {found['since']} to {found['until']}"))
    rows = [*_counts(found), *_ticks(found["ticks"])]
    print_table([Column("WHAT"), Column("BEFORE", right=True), Column("AFTER", right=True)], rows, nothing="")
    changed = [
        (one["id"], one["before"], one["after"], one["after_reason"] or _no_longer(one["before_reason"]))
        for one in found["changed"]
    ]
    if changed:
        columns = [Column("EVENT", wrap=True), Column("WAS"), Column("WOULD BE"), Column("WHY", wrap=True)]
        print_table(columns, changed, nothing="")
    if found["changes"] > len(changed):
        say(f"and {found['changes'] - len(changed)} more that change")
    if found["read_until"]:
        say(f"only what came before {found['read_until']} was read: ask for the rest with --from")


def _no_longer(reason: str) -> str:
    return f"no longer: {reason}" if reason else ""


def _counts(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for fate in dict.fromkeys([*found["before"], *found["after"]]):
        yield fate, str(found["before"].get(fate, 0)), str(found["after"].get(fate, 0))
    yield "runs", str(found["runs_before"]), str(found["runs_after"])


def _ticks(ticks: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str]]:
    if ticks is None:
        return
    yield "ticks", str(ticks["before"]), str(ticks["after"])
    yield from (("tick", one, "") for one in ticks["gone"][:20])
    yield from (("tick", "", one) for one in ticks["new"][:20])
