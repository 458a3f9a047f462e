"""`tidemill reviews`: failed runs that wait for a person."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import Limit
from service.cli.options import AsJson, ConfigFile


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reviews)


def reviews(
    pipeline: Annotated[str | None, typer.Option(help="Only runs of this pipeline.")] = None,
    limit: Limit = 10,
    before: Annotated[int | None, typer.Option(metavar="RUN", help="Only runs older than this one.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List failed runs that nobody has resumed or abandoned, with the commands that apply to each.

    Example: tidemill reviews --pipeline flights
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say

    page = open_client(config_file).reviews(pipeline=pipeline, limit=limit, before=before)
    if as_json:
        print_json(page)
        return
    from service.cli.views.reviews import print_reviews
    from triggers.event import utc_now

    print_reviews(page, utc_now())
    if page["next"] is not None:
        say(f"older ones: --before {page['next']}")
