"""`tidemill doctor`: prints what `service.checkup` finds."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from service import exits
from service.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from pathlib import Path

    from service.checkup.examination import Depth
    from service.checkup.finding import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    config_file: ConfigFile = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also read the books: every row in the database.")] = False,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", help="Also read every artifact that a row refers to.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that everything is there and works.

    Looks at settings, pipelines, triggers, Postgres, clocks, broker, artifact store and daemon, and says what to do.
    Exits with 1 when something does not work. Warnings leave a daemon working. With --deep it reads every row in the
    database, at one instant and changing nothing, and names those that break a promise: an event with two fates, a
    stage that succeeded twice, a record that was read twice. With --artifacts it reads each artifact that the database
    refers to, and names those that are missing or damaged.

    Example: tidemill doctor --deep
    """
    import asyncio

    from service.checkup.examination import Depth
    from service.checkup.finding import Verdict
    from service.cli.output import print_json

    found = asyncio.run(_examine(config_file, Depth(rows=deep, artifacts=artifacts), quiet=as_json))
    if as_json:
        print_json({"findings": [dataclasses.asdict(one) for one in found]})
    if any(one.verdict is Verdict.PROBLEM for one in found):
        raise typer.Exit(exits.FAILED)


async def _examine(config_file: Path | None, depth: Depth, *, quiet: bool) -> list[Finding]:
    """Print each finding as it is made."""
    from service.checkup.examination import examine
    from service.checkup.finding import problem
    from service.cli.at_rest import database_of
    from service.cli.output import working
    from service.cli.views.checkup import print_finding
    from service.config import read_settings
    from service.errors import ConfigError

    found: list[Finding] = []
    try:
        settings = read_settings(config_file)
    except ConfigError as error:
        found.append(problem("settings", str(error)))
        if not quiet:
            print_finding(found[0])
        return found
    sys.path.insert(0, str(settings.root))
    reads = database_of(settings) if depth.rows or depth.artifacts else nullcontext()
    with working("checking") as out:
        async with reads:
            async for one in examine(settings, depth):
                found.append(one)
                if not quiet:
                    print_finding(one, out)
    return found
