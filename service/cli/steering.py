"""`tidemill cancel`, `resume`, `approve` and `reject`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.arguments import Asker, RunId, asker
from service.cli.options import AsJson, ConfigFile

Gate = Annotated[str, typer.Argument(metavar="GATE", help="The gate that waits, as `tidemill show` names it.")]
By = Annotated[str, typer.Option(metavar="NAME", help="Who decides.")]
Reason = Annotated[str, typer.Option(help="Why, for those who read it later.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (cancel, resume, approve, reject):
        app.command()(command)


def cancel(run: RunId, by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Stop a run; what is finished stays.

    The stage that runs is cut short.

    Example: tidemill cancel 12
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).cancel(run, by=asker(by))
    if as_json:
        print_json(answer)
    elif answer["state"] == "cancelled":
        typer.echo(f"run {run} is cancelled")
    else:
        typer.echo(f"run {run} is asked to stop: tidemill show {run}")


def resume(run: RunId, by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Go on with a failed or cancelled run.

    It is the same run: finished stages are not run again.

    Example: tidemill resume 12
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    answer = open_client(config_file).resume(run, by=asker(by))
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"run {run} is {answer['state']} again: tidemill show {run}")


def approve(
    run: RunId, gate: Gate, by: By, reason: Reason = "", config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Let a run pass the gate at which it waits.

    Example: tidemill approve 12 register-deploy --by kim --reason "better in every slice"
    """
    _decide("approve", run, gate, by, reason, config_file, as_json)


def reject(
    run: RunId, gate: Gate, by: By, reason: Reason = "", config_file: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Stop a run at the gate at which it waits: it fails.

    Example: tidemill reject 12 register-deploy --by kim --reason "worse for small carriers"
    """
    _decide("reject", run, gate, by, reason, config_file, as_json)


def _decide(decision: str, run: int, gate: str, by: str, reason: str, config_file: Path | None, as_json: bool) -> None:
    from service.cli.connection import open_client
    from service.cli.output import plain, print_json

    answer = open_client(config_file).decide(run, gate, decision, by, reason)
    if as_json:
        print_json(answer)
        return
    decided = {"passed": "approved", "failed": "rejected"}.get(answer["state"], answer["state"])
    typer.echo(plain(f"gate {gate} of run {run} is {decided} by {answer['decided_by']}"))
