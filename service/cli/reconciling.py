"""`tidemill reconcile`: sources against the inbox."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from service import exits
from service.cli.firing import instant
from service.cli.options import AsJson, ConfigFile
from service.cli.redelivery import compare_deliveries

Name = Annotated[
    str | None, typer.Argument(metavar="[TRIGGER]", help="Only this trigger, as `tidemill triggers` has it.")
]
Since = Annotated[str | None, typer.Option("--from", metavar="TIME", help="From this time on; default: a day ago.")]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before this time; default: now.")]
Repair = Annotated[bool, typer.Option("--repair", help="Accept what is missing, with the identity it would have had.")]
Deliveries = Annotated[
    str | None,
    typer.Option(
        "--deliveries", metavar="URL", help="Of a webhook: GitHub's list of what it delivered, .../hooks/ID/deliveries."
    ),
]
Variable = Annotated[
    str, typer.Option("--token-env", metavar="NAME", help="The environment variable that holds GitHub's token.")
]
Everything = Annotated[bool, typer.Option("--all", help="Also list what has no event as it should be.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    trigger: Name = None,
    since: Since = None,
    until: Until = None,
    repair: Repair = False,
    everything: Everything = False,
    deliveries: Deliveries = None,
    variable: Variable = "GITHUB_TOKEN",
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare what sources have with the inbox: ticks that were due, files that lie there, Kafka below the positions.

    Says what has no event, and why. Of a webhook, --deliveries reads what GitHub says it delivered; --repair then asks
    GitHub to deliver again. Exits with 1 where something is missing that should not be, 0 otherwise.

    Example: tidemill reconcile --from 2026-11-26T00:00:00Z
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    span = instant(since, "--from"), instant(until, "--to")
    if deliveries is not None:
        found = compare_deliveries(client, trigger or "", deliveries, variable, *span, repair=repair)
    else:
        found = client.reconcile(trigger, since=span[0], until=span[1], repair=repair)
    if as_json:
        print_json(found)
    else:
        _tell(found, everything=everything)
    left = found["differences"] - found["repaired"]
    if left or any(one["error"] for one in found["triggers"]):
        raise typer.Exit(exits.FAILED)


def _tell(found: Mapping[str, Any], *, everything: bool) -> None:
    from service.cli.output import Column, print_table, say

    rows = [row for one in found["triggers"] for row in _rows(one, everything=everything)]
    print_table([Column("TRIGGER", wrap=True), Column("WHAT", wrap=True), Column("WHY", wrap=True)], rows, nothing="")
    told = f"{found['differences']} without an event that should have one"
    say(told + (f", {found['repaired']} of them have one now" if found["repaired"] else ""))


def _rows(one: Mapping[str, Any], *, everything: bool) -> Iterator[tuple[str, str, str]]:
    clean = "not compared" if one["error"] else f"{one['checked']} compared, {one['differences']} missing"
    yield one["trigger"], clean, one["error"] or "; ".join(one["notes"])
    for lack in one["lacks"]:
        if everything or not lack["expected"]:
            yield "", lack["what"], lack["why"] + (" (accepted now)" if lack["event"] else "")
