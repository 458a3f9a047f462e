"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The settings file; default: TIDEMILL_CONFIG, else ./tidemill.toml."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
