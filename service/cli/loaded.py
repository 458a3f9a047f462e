"""`tidemill pipelines`, `versions` and `triggers`: what the daemon has loaded."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import After, Limit
from service.cli.options import AsJson, ConfigFile


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pipelines)
    app.command()(versions)
    app.command()(triggers)


def pipelines(
    limit: Limit = 1000,
    after: After = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the pipelines the daemon has loaded.

    Example: tidemill pipelines
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say_next

    answer = open_client(config_file).pipelines(limit=limit, after=after)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.loaded import print_pipelines

    print_pipelines(answer)
    say_next(answer["next"])


def versions(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="Its name.")],
    limit: Limit = 200,
    before: Annotated[str | None, typer.Option(metavar="VERSION", help="Only versions older than this one.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the versions of a pipeline, newest first, and which of them events can be replayed on.

    Example: tidemill versions flights
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say

    answer = open_client(config_file).versions(pipeline, limit=limit, before=before)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.loaded import print_versions_of
    from triggers.event import utc_now

    print_versions_of(answer, utc_now())
    if answer["next"] is not None:
        say(f"older ones: --before {answer['next']}")


def triggers(
    limit: Limit = 1000,
    after: After = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the triggers and what each hears.

    Tells when each is due next, when it last saw something, and how far it lags.

    Example: tidemill triggers
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say_next

    answer = open_client(config_file).triggers(limit=limit, after=after)
    if as_json:
        print_json(answer)
        return
    from service.cli.views.loaded import print_triggers
    from triggers.event import utc_now

    print_triggers(answer, utc_now())
    say_next(answer["next"])
