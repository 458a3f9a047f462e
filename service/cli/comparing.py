"""`tidemill explain` and `diff`: what changed from one run to another."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import RunId, run_id
from service.cli.options import AsJson, ConfigFile

Stage = Annotated[str | None, typer.Argument(metavar="[STAGE]", help="Only this stage.")]
Since = Annotated[
    int | None, typer.Option("--with", parser=run_id, metavar="RUN", help="Compare with this run; default: the last.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(explain)
    app.command()(diff)


def explain(
    run: RunId, stage: Stage = None, since: Since = None, config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Tell why each stage was computed, or its result used again.

    Compares code, environment, inputs, parameters and event with those of the run of the pipeline before it.

    Example: tidemill explain 12 train --with 9
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    found = open_client(config_file).explain(run, stage, since)
    if as_json:
        print_json(found)
        return
    from service.cli.views.comparing import print_explanation

    print_explanation(found)


def diff(run: RunId, other: RunId, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show two runs side by side: only what differs.

    Example: tidemill diff 9 12
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    found = open_client(config_file).diff(run, other)
    if as_json:
        print_json(found)
        return
    from service.cli.views.comparing import print_diff

    print_diff(found)
