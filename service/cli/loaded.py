"""`tidemill pipelines` and `triggers`: what the daemon has loaded."""

from __future__ import annotations

import typer

from service.cli.options import AsJson, ConfigFile


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(pipelines)
    app.command()(triggers)


def pipelines(config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the pipelines the daemon has loaded.

    Example: tidemill pipelines
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).pipelines()
    if as_json:
        print_json(answer)
        return
    from service.cli.views.loaded import print_pipelines

    print_pipelines(answer)


def triggers(config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the triggers and what each hears.

    Tells when each is due next, when it last saw something, and how far it lags.

    Example: tidemill triggers
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).triggers()
    if as_json:
        print_json(answer)
        return
    from service.cli.views.loaded import print_triggers
    from triggers.event import utc_now

    print_triggers(answer, utc_now())
