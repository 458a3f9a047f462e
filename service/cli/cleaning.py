"""`tidemill gc`: removes what is kept no longer."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import Asker, asker
from service.cli.options import AsJson, ConfigFile

PATIENCE_S = 3600.0
"""How long a clean-up may take before the command stops waiting for it. The daemon goes on."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(gc)


def gc(
    yes: Annotated[bool, typer.Option("--yes/--dry-run", help="Remove it; without, only tell what would go.")] = False,
    days: Annotated[
        float | None, typer.Option(min=0, help="Remove runs that finished this long ago; default: retention.days.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Keep this many runs of each pipeline; default: retention.runs.")
    ] = None,
    events_days: Annotated[
        float | None, typer.Option(min=0, help="Forget events this old that are in no run; default: keep them.")
    ] = None,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove old runs, and artifacts that nothing refers to. Changes nothing without --yes.

    Runs that registered a model, made what one refers to, or wait for a person stay.

    Example: tidemill gc --days 90 --keep 20
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    wanted = {"days": days, "runs": keep, "events_days": events_days}
    given = {name: value for name, value in wanted.items() if value is not None}
    client = open_client(config_file, timeout_s=PATIENCE_S)
    done = client.clean_up(dry_run=not yes, by=asker(by, client), **given)
    if as_json:
        print_json(done)
        return
    from service.cli.views.cleaning import print_clean_up

    print_clean_up(done)
