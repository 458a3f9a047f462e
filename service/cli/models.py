"""`tidemill models` and `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.arguments import Limit, parse_json, read_text
from service.cli.options import AsJson, ConfigFile


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(models)
    app.command()(predict)


def models(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Show the versions of this one.")] = None,
    limit: Limit = 20,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the models, or the versions of one.

    Example: tidemill models flights
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    answer = client.models() if model is None else client.model(model, limit=limit)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.loaded import print_models, print_versions
    from triggers.event import utc_now

    if model is None:
        print_models(answer)
    else:
        print_versions(answer, utc_now())


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model to ask.")],
    payload: Annotated[str, typer.Argument(metavar="JSON", help="What to ask it; `-` reads standard input.")],
    config_file: ConfigFile = None,
) -> None:
    """Ask the version of a model that is in production. Prints its answer as JSON.

    Example: tidemill predict flights - < flight.json
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    given = parse_json(read_text(Path("-")) if payload == "-" else payload, "the payload")
    print_json(open_client(config_file).predict(model, given))
