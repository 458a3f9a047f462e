"""`tidemill link`: a one-time link by which somebody decides a gate, to be sent by chat or mail."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from service.cli.arguments import Asker, RunId, asker
from service.cli.options import AsJson, ConfigFile

LONGEST_S = 30 * 86_400
UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}
Gate = Annotated[str, typer.Argument(metavar="GATE", help="The gate that waits, as `tidemill show` names it.")]
For = Annotated[str, typer.Option("--for", metavar="NAME", help="Who decides by it; the vote is in that name.")]
Decision = Annotated[str, typer.Option(metavar="approve|reject", help="What the link does.")]
Expires = Annotated[str, typer.Option(metavar="TIME", help="How long it can be used: 90min, 8h, 2d; at most 30d.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(link)


def link(
    run: RunId,
    gate: Gate,
    person: For,
    decision: Decision = "approve",
    expires: Expires = "1d",
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a link by which one person decides a waiting gate, once.

    Whoever has the link can use it: send it to that person only. Opening it shows a page with a button; only the button
    decides.

    Example: tidemill link 12 register-deploy --for kim --decision approve --expires 8h
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    made = client.link(run, gate, person, decision, seconds(expires), asker(by, client))
    if as_json:
        print_json(made)
    else:
        typer.echo(made["url"])


def seconds(text: str, longest_s: float = LONGEST_S) -> float:
    """`90min`, `8h`, `2d` or `3600` as seconds."""
    found = re.fullmatch(r"([0-9]{1,9})\s*(s|min|m|h|d)?", text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time: write 90min, 8h or 2d", param_hint="--expires")
    told_s = float(found[1]) * UNITS[found[2] or "s"]
    if not 1 <= told_s <= longest_s:
        most = f"{longest_s / UNITS['d']:g} days"
        raise typer.BadParameter(f"{text!r} is not between 1 s and {most}", param_hint="--expires")
    return told_s
