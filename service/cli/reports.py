"""`tidemill report`: the audit record of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.arguments import RunId
from service.cli.options import ConfigFile


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)


def report(
    run: RunId,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it as one HTML page; `-` prints the page.")
    ] = None,
    config_file: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, which is what it does without --html.")] = False,
) -> None:
    """Tell everything on record of a run: who, what, when, from which event, which code and data, which gates.

    Example: tidemill report 12 --html run-12.html
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json
    from service.errors import Invalid

    client = open_client(config_file)
    if html is None or as_json:
        print_json(client.report(run))
    if html is None:
        return
    page = client.report_page(run)
    if str(html) == "-":
        typer.echo(page)
        return
    try:
        html.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Invalid(f"{html} cannot be written: {error.strerror}") from None
    typer.echo(f"run {run} is told in {html}", err=as_json)
