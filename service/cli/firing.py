"""`tidemill fire`: the event that a trigger would make, made now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from service import exits
from service.cli.arguments import Asker, asker, read_text
from service.cli.options import AsJson, ConfigFile


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(fire)


Name = Annotated[
    str, typer.Argument(metavar="TRIGGER", help="The trigger, as `tidemill triggers` names it: PIPELINE/NAME.")
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="FILE|JSON", help="What a record, body or event holds; `-` reads standard input."),
]
Place = Annotated[
    str | None, typer.Option("--path", metavar="PATH", help="The file or folder, for triggers that watch for them.")
]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME:VALUE", help="A header of the delivery or Kafka record. May be repeated."),
]
RecordKey = Annotated[str | None, typer.Option("--key", help="The key of the Kafka record.")]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="When it happens (RFC 3339); default: now.")]
Id = Annotated[
    str | None, typer.Option("--id", help="What identifies it: with the same one it is the same event, however often.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would become of it.")]


def fire(
    trigger: Name,
    data: Data = None,
    path: Place = None,
    header: Headers = None,
    key: RecordKey = None,
    at: At = None,
    event_id: Id = None,
    dry_run: DryRun = False,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make the event that a trigger would make, as a real one.

    A tick of a schedule, a record, a delivery (it needs no signature), a landed file. It goes to this trigger alone,
    with its filter, its params and its limits, and is marked with who fired it. Exits with 1 when it starts nothing.

    Example: tidemill fire "flights/cron:0 2 * * *" --dry-run
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    given = {"payload": given_data(data), "path": path, "headers": parse_headers(header)}
    given |= {"record_key": key, "at": instant(at, "--at")}
    client = open_client(config_file)
    answer = client.fire(trigger, key=event_id, by=asker(by, client), dry_run=dry_run, **given)
    if as_json:
        print_json(answer)
    else:
        _tell(answer)
    if not dry_run and not answer["events"][0]["runs"]:
        raise typer.Exit(exits.FAILED)


def _tell(answer: Mapping[str, Any]) -> None:
    from service.cli.output import plain
    from service.cli.views.asking import print_event_explained

    if answer["dry_run"]:
        print_event_explained(answer["explained"])
        return
    [event] = answer["events"]
    for run in event["runs"]:
        typer.echo(plain(f"{answer['trigger']} fired: run {run}: tidemill show {run}"))
    if not event["runs"]:
        typer.echo(
            plain(f"{answer['trigger']} fired, and started nothing: {event['fate']}: {event['reason']}"), err=True
        )


def given_data(data: str | None) -> str | None:
    """What `--data` means: standard input, the file of that name, or the text itself."""
    if data is None:
        return None
    if data == "-" or (not data.lstrip().startswith(("{", "[", '"')) and Path(data).is_file()):
        return read_text(Path(data))
    return data


def parse_headers(given: list[str] | None) -> dict[str, str]:
    """Headers as they are typed: `NAME:VALUE`. Raises `Invalid`."""
    from service.errors import Invalid

    found = {}
    for one in given or ():
        name, colon, value = one.partition(":")
        if not colon or not name.strip():
            raise Invalid(f"--header {one!r}: write it as NAME:VALUE")
        found[name.strip()] = value.strip()
    return found


def instant(given: str | None, what: str) -> str | None:
    """An instant as the API takes it; without a zone it is local time. Raises `Invalid` naming `what`."""
    from service.errors import Invalid

    if given is None:
        return None
    try:
        return datetime.fromisoformat(given).astimezone().isoformat()
    except ValueError:
        raise Invalid(f"{what} {given!r} is no time: write it as 2026-11-27T02:00:00Z") from None
