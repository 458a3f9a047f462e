"""`tidemill top` and `watch`: what goes on, and one run, as it happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.arguments import RunId
from service.cli.options import AsJson, ConfigFile

if TYPE_CHECKING:
    from service.cli.views.top import Glance
    from service.client import Client


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(top)
    app.command()(watch)


Every = Annotated[
    float, typer.Option("--every", min=0.2, max=3600, help="How many seconds lie between two looks at the least.")
]
Once = Annotated[bool, typer.Option("--once", help="Look once, print that, and end.")]


def watch(run_id: RunId, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Watch a run until it is finished or waits for a person, and tell each stage as it ends.

    Exits by how it ended: 0 succeeded, 1 failed or cancelled, 3 waits for somebody to decide a gate.

    Example: tidemill watch 12
    """
    from service.cli.connection import open_client
    from service.cli.runs import wait_for

    wait_for(open_client(config_file), run_id, as_json=as_json)


def top(every: Every = 1.0, once: Once = False, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show what the start page of the console shows, kept true in the terminal until Ctrl-C.

    The three kinds of triggers, what runs, what waits for whom, what failed. Where the output is no terminal, and with
    --json, it looks once and ends.

    Example: tidemill top --every 2
    """
    from service.cli.connection import open_client
    from service.cli.output import console, print_json
    from service.cli.views.top import drawn, glance

    client, out = open_client(config_file), console()
    if as_json:
        print_json(glance(client))
    elif once or not out.is_terminal:
        out.print(drawn(glance(client)))
    else:
        _keep_true(client, every)


def _keep_true(client: Client, every_s: float) -> None:
    """Draw it as things happen; a daemon that is away is waited for."""
    from rich.live import Live

    from service.cli.hearing import Hearing
    from service.cli.output import console
    from service.cli.views.top import drawn, glance
    from service.client import ApiError, DaemonUnavailable

    hearing = Hearing(client.news)
    last: Glance | None = None
    away = ""
    try:
        with Live(console=console(), screen=True, auto_refresh=False) as live:
            while True:
                try:
                    last, away = glance(client), ""
                except (ApiError, DaemonUnavailable) as error:
                    if not error.transient or last is None:
                        raise
                    away = str(error)
                live.update(drawn(last, away), refresh=True)
                hearing.pause(every_s, every_s)
    except KeyboardInterrupt:
        return
