"""`tidemill audit`: who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from service.cli.arguments import Limit
from service.cli.options import AsJson, ConfigFile
from service.cli.schedules import instant


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def audit(
    who: Annotated[str | None, typer.Option(help="Only what was done by this name.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only what has this in it: cancel, or /runs/12.")
    ] = None,
    run: Annotated[int | None, typer.Option(metavar="RUN", help="Only what was done to this run.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused, or failed.")] = False,
    since: Annotated[
        datetime | None, typer.Option("--from", parser=instant, metavar="TIME", help="Only from then on.")
    ] = None,
    limit: Limit = 20,
    before: Annotated[int | None, typer.Option(metavar="SEQ", help="Only what was done before this one.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List what was done and refused, newest first: who, known how, from where, what, and the answer.

    Example: tidemill audit --who kim --limit 50
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say

    wanted = {"who": who, "action": action, "run": run, "refused": "true" if refused else None}
    wanted["since"] = None if since is None else since.astimezone(UTC).isoformat()
    page = open_client(config_file).audit(limit=limit, before=before, **wanted)
    if as_json:
        print_json(page)
        return
    from service.cli.views.access import print_audit
    from triggers.event import utc_now

    print_audit(page, utc_now())
    if page["next"] is not None:
        say(f"older ones: --before {page['next']}")
