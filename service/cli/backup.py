"""`tidemill backup` and `restore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service import exits
from service.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from service.backup import Backup
    from service.settings import Settings

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the backup.")]
Programs = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder with pg_dump and pg_restore; default: those that come with Tidemill."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(folder: Folder, programs: Programs = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Copy the database, as of one instant, and every artifact into a folder, while the daemons work.

    Into the same folder again, it copies only the artifacts that are new. Exits with 1 when rows refer to artifacts
    that the store does not have.

    Example: tidemill backup /backups/mill
    """
    import asyncio

    from service.config import read_settings

    made = asyncio.run(_back_up(read_settings(config_file), folder, programs))
    _tell(made, f"backed up {made.artifacts} artifacts ({made.copied} of them new) and the database", as_json)


def restore(folder: Folder, programs: Programs = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Fill an empty database and an artifact store from a backup. Start the daemons after that.

    Without TIDEMILL_DATABASE_URL it fills the database that `tidemill up` embeds in TIDEMILL_HOME, if that is empty.

    Example: tidemill restore /backups/mill
    """
    import asyncio

    from service.config import read_settings

    made = asyncio.run(_restore(read_settings(config_file), folder, programs))
    _tell(made, f"restored {made.artifacts} artifacts and the database as of {made.taken_at}", as_json)


async def _back_up(settings: Settings, folder: Path, programs: Path | None) -> Backup:
    from service.backup import back_up
    from service.cli.at_rest import database_of
    from service.embedded.postgres import packaged_programs
    from service.errors import ConfigError

    async with database_of(settings) as dsn:
        if dsn is None:
            raise ConfigError(
                f"no database is set, and none is embedded in {settings.home}: set TIDEMILL_DATABASE_URL to the one to"
                " back up, or TIDEMILL_HOME to that of `tidemill up`"
            )
        return await back_up(dsn, settings.artifacts.url, folder, programs or packaged_programs())


async def _restore(settings: Settings, folder: Path, programs: Path | None) -> Backup:
    from service import backup
    from service.cli.at_rest import database_of
    from service.embedded.postgres import packaged_programs

    async with database_of(settings, may_make=True) as dsn:
        assert dsn is not None
        return await backup.restore(folder, dsn, settings.artifacts.url, programs or packaged_programs())


def _tell(made: Backup, says: str, as_json: bool) -> None:
    from dataclasses import asdict

    from service.backup import told
    from service.cli.output import print_json

    if as_json:
        print_json(asdict(made))
    else:
        typer.echo(says)
        if made.missing:
            typer.echo(f"rows refer to artifacts that were not in the store: {told(made.missing)}", err=True)
    if made.missing:
        raise typer.Exit(exits.FAILED)
