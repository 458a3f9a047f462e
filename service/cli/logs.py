"""`tidemill logs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.arguments import RunId
from service.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from service.client import Client


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(logs)


def logs(
    run: RunId,
    stage: Annotated[str | None, typer.Argument(metavar="[STAGE]", help="Only what this stage logged.")] = None,
    item: Annotated[int | None, typer.Option(help="Only this item of a mapped stage, from 0.")] = None,
    attempt: Annotated[int | None, typer.Option(help="Only this attempt, from 1.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is finished.")] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what the stages of a run logged and printed.

    Text shows what was given to logging as `extra` behind the message; --json has every line with all it holds.

    Example: tidemill logs 12 train -f
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    if as_json and not follow:
        print_json({"lines": list(_lines(client, run, stage, item, attempt)), "next": None})
        return
    count = 0
    read = client.follow_logs if follow else partial(_lines, client)
    for line in read(run, stage, item, attempt):
        typer.echo(json.dumps(line, ensure_ascii=False) if as_json else _told(line))
        count += 1
    if count == 0 and not as_json:
        typer.echo(f"run {run} has logged nothing" + (f" in {stage}" if stage else ""), err=True)


def _lines(
    client: Client, run: int, stage: str | None, item: int | None, attempt: int | None
) -> Iterator[dict[str, Any]]:
    """Every line so far, page by page."""
    after: int | None = 0
    while after is not None:
        page = client.logs(run, stage, after=after, item=item, attempt=attempt)
        yield from page["lines"]
        after = page["next"]


def _told(line: dict[str, Any]) -> str:
    """Time, level or stream, stage with its item and its attempt where that is not the first, message and fields.

    Further lines of the message are indented.
    """
    from service.cli.output import plain
    from service.words.times import instant

    at = instant(line["at"]).astimezone().strftime("%H:%M:%S")
    attempt = f"#{line['attempt']}" if line["attempt"] > 1 else ""
    item = "" if line["item"] is None else f"[{line['item']}]"
    kind = line["level"] if line["source"] == "log" else line["source"]
    first, *rest = (plain(part) for part in line["message"].split("\n"))
    first = " ".join([first, *(f"{plain(name)}={_value(value)}" for name, value in line["fields"].items())])
    return "\n  ".join([f"{at} {kind:7} {line['stage']}{item}{attempt}: {first}", *rest])


def _value(value: Any) -> str:
    """Text as it is where no reader can mistake where it ends; all else as JSON."""
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(" \"='{}[],"):
        return value
    return json.dumps(value, ensure_ascii=False)
