"""`tidemill logs`."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is finished.")] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what the stages of a run logged.

    Example: tidemill logs 12 train -f
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    if as_json and not follow:
        print_json({"lines": list(_lines(client, run, stage)), "next": None})
        return
    count = 0
    for line in client.follow_logs(run, stage) if follow else _lines(client, run, stage):
        typer.echo(json.dumps(line, ensure_ascii=False) if as_json else _told(line))
        count += 1
    if count == 0 and not as_json:
        typer.echo(f"run {run} has logged nothing" + (f" in {stage}" if stage else ""), err=True)


def _lines(client: Client, run: int, stage: str | None) -> Iterator[dict[str, Any]]:
    """Every line so far, page by page."""
    after: int | None = 0
    while after is not None:
        page = client.logs(run, stage, after=after)
        yield from page["lines"]
        after = page["next"]


def _told(line: dict[str, Any]) -> str:
    """Time, level, stage with the attempt where it is not the first, message; its further lines indented."""
    from service.cli.output import plain
    from service.cli.times import instant

    at = instant(line["at"]).astimezone().strftime("%H:%M:%S")
    attempt = f"#{line['attempt']}" if line["attempt"] > 1 else ""
    first, *rest = (plain(part) for part in line["message"].split("\n"))
    return "\n  ".join([f"{at} {line['level']:7} {line['stage']}{attempt}: {first}", *rest])
