"""`tidemill models` and `predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.arguments import After, parse_json, read_text
from service.cli.options import AsJson, ConfigFile

VERSIONS = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(models)
    app.command()(predict)


def models(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Show the versions of this one.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="How many at most; default: 1000 models, or 20 versions of one."),
    ] = None,
    after: After = None,
    before: Annotated[int | None, typer.Option(metavar="VERSION", help="Only versions older than this one.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the models, or the versions of one.

    Example: tidemill models flights
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say, say_next

    client = open_client(config_file)
    if model is None:
        answer = client.models(limit=limit, after=after)
    else:
        answer = client.model(model, limit=limit or VERSIONS, before=before)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.loaded import print_models, print_versions
    from triggers.event import utc_now

    if model is None:
        print_models(answer)
        say_next(answer["next"])
    else:
        print_versions(answer, utc_now())
        if answer["next"] is not None:
            say(f"older ones: --before {answer['next']}")


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
