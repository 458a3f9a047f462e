"""`tidemill config`: the settings in effect, secrets masked, and where each came from."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.options import AsJson, ConfigFile
from service.config import Shown, describe, read_settings, reference


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("config")(config)


def config(
    config_file: ConfigFile = None,
    as_json: AsJson = False,
    all_keys: Annotated[
        bool, typer.Option("--reference", help="Print what can be set, with defaults, as Markdown.")
    ] = False,
) -> None:
    """Show the settings in effect and where each came from.

    Example: tidemill config
    """
    if all_keys:
        typer.echo(reference(), nl=False)
        return
    shown = describe(read_settings(config_file))
    typer.echo(_json(shown) if as_json else _table(shown))


def _json(shown: list[Shown]) -> str:
    import json

    return json.dumps([line._asdict() for line in shown], indent=2)


def _table(shown: list[Shown]) -> str:
    key_width = max(len(line.key) for line in shown)
    value_width = min(max(len(line.value) for line in shown), 60)
    return "\n".join(f"{line.key:{key_width}}  {line.value:{value_width}}  {line.origin}" for line in shown)
