"""`tidemill events` and `event`."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.arguments import Limit
from service.cli.options import AsJson, ConfigFile


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(events)
    app.command()(event)


def events(
    kind: Annotated[
        str | None, typer.Option("--type", help="Only events of this CloudEvents type, or below it: dev.tidemill.file.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Only events of this source.")] = None,
    fate: Annotated[
        str | None,
        typer.Option(help="Only with this fate: ran, coalesced, ignored, late, paused, rate-limited or dead."),
    ] = None,
    limit: Limit = 20,
    before: Annotated[int | None, typer.Option(metavar="SEQ", help="Only events accepted before this one.")] = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List accepted events, newest first, with what they led to; with --fate, with the reason.

    Example: tidemill events --fate late --limit 50
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json, say

    page = open_client(config_file).events(kind=kind, source=source, fate=fate, limit=limit, before=before)
    if as_json:
        print_json(page)
        return
    from service.cli.views.events import print_events
    from triggers.event import utc_now

    print_events(page, utc_now(), fate, chosen=any((kind, source, before)))
    if page["next"] is not None:
        say(f"older ones: --before {page['next']}")


def event(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id or key.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write only its data, byte for byte as it was kept.")] = False,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show an event and its fate: which runs it started, or why none. With --raw, write what it carries.

    Example: tidemill event 72d3162e-cc78-11e3-81ab-4c9367dc0958"""
    from service.cli.connection import open_client
    from service.cli.output import print_json, write_bytes

    found = open_client(config_file).event(event_id)
    if raw:
        from service.cli.views.events import raw_data

        write_bytes(raw_data(found["cloudevent"]))
        return
    if as_json:
        print_json(found)
        return
    from service.cli.views.events import print_event
    from triggers.event import utc_now

    print_event(found, utc_now())
