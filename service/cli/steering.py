"""`tidemill cancel`, `resume`, `skip`, `abandon`, `approve` and `reject`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.arguments import Asker, RunId, asker, parse_params
from service.cli.options import AsJson, ConfigFile
from service.errors import Invalid

Gate = Annotated[str, typer.Argument(metavar="GATE", help="The gate that waits, as `tidemill show` names it.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decides, where no token of theirs says it.")]
Why = Annotated[str, typer.Option("--reason", metavar="WHY", help="Why, for those who read it later.")]
Since = Annotated[
    str | None, typer.Option("--from", metavar="STAGE", help="Make this stage and all that need it again.")
]
WithParam = Annotated[
    list[str] | None,
    typer.Option("--with-param", metavar="KEY=VALUE", help="Change one parameter of the run. May be repeated."),
]
On = Annotated[str | None, typer.Option(metavar="latest", help="`latest`: move the run to the version that is loaded.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would run again, and why.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something runs again.")]
Reason = Annotated[str, typer.Option(help="Why, for those who read it later.")]
Subject = Annotated[
    str | None,
    typer.Option(metavar="DIGEST", help="The artifact you looked at, as `show` has it: not decided if it is another."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (cancel, resume, skip, abandon, approve, reject):
        app.command()(command)


def cancel(run: RunId, by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Stop a run; what is finished stays.

    The stage that runs is cut short.

    Example: tidemill cancel 12
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    answer = client.cancel(run, by=asker(by, client))
    if as_json:
        print_json(answer)
    elif answer["state"] == "cancelled":
        typer.echo(f"run {run} is cancelled")
    else:
        typer.echo(f"run {run} is asked to stop: tidemill show {run}")


def resume(
    run: RunId,
    since: Since = None,
    with_param: WithParam = None,
    on: On = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a failed or cancelled run.

    It is the same run: finished stages are not run again, unless what is changed here makes them. What runs again, and
    why, is shown first; on a terminal it asks before it does anything.

    Example: tidemill resume 12 --from train --with-param trees=80
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    changes: dict[str, Any] = {"since": since, "params": parse_params(with_param, None) or None, "on": on or "same"}
    planned = client.resume(run, dry_run=True, **changes) if dry_run or any((since, with_param, on)) else None
    if planned is not None and not as_json:
        _show_plan(planned)
        if not dry_run and not yes and sys.stdin.isatty():
            typer.confirm(f"resume run {run}?", abort=True)
    answer = planned if dry_run else client.resume(run, by=asker(by, client), **changes)
    if as_json:
        print_json(answer)
    elif answer is not None and not dry_run:
        if planned is None:
            _show_note(answer)
        typer.echo(f"run {run} is {answer['state']} again: tidemill show {run}")


def _show_plan(planned: Mapping[str, Any]) -> None:
    from service.cli.output import Column, print_table

    rows = [(one["stage"], one["action"], one["why"]) for one in planned["plan"]]
    rows += [(f"gate {one['gate']}", "check", one["why"]) for one in planned["gates"]]
    print_table([Column("STAGE"), Column("DOES"), Column("WHY", wrap=True)], rows, nothing="it has no stages")
    _show_note(planned)


def _show_note(answer: Mapping[str, Any]) -> None:
    if answer["note"]:
        typer.echo(answer["note"])


def skip(
    run: RunId,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="The stage to pass over.")],
    reason: Why,
    on: On = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: Asker = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Pass over a stage of a failed run, and go on.

    Possible where every stage that takes its output can do without: its parameter is annotated `TYPE | None`. With
    `--on latest`, what runs again is shown first, as by `resume`.

    Example: tidemill skip 12 report --reason "the mail server is gone"
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    asked: dict[str, Any] = {"by": asker(by, client), "on": on or "same"}
    planned = client.skip(run, stage, reason, **asked, dry_run=True) if dry_run or on else None
    if planned is not None and not as_json:
        _show_plan(planned)
        if not dry_run and not yes and sys.stdin.isatty():
            typer.confirm(f"go on with run {run} without {stage}?", abort=True)
    answer = planned if dry_run else client.skip(run, stage, reason, **asked)
    if as_json:
        print_json(answer)
    elif answer is not None and not dry_run:
        if planned is None:
            _show_note(answer)
        typer.echo(f"run {run} goes on without {stage}: tidemill show {run}")


def abandon(run: RunId, reason: Why, by: Asker = None, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Give a failed run up: it leaves the review queue, and stays failed.

    Example: tidemill abandon 12 --reason "the file was a test"
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    client = open_client(config_file)
    answer = client.abandon(run, reason, by=asker(by, client))
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"run {run} is given up")


def approve(
    run: RunId,
    gate: Gate,
    by: By = None,
    reason: Reason = "",
    subject: Subject = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let a run pass the gate at which it waits.

    Where several people must approve, this is one of their votes.

    Example: tidemill approve 12 register-deploy --by kim --reason "better in every slice"
    """
    _decide("approve", run, gate, by, reason, subject, config_file, as_json)


def reject(
    run: RunId,
    gate: Gate,
    by: By = None,
    reason: Reason = "",
    subject: Subject = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop a run at the gate at which it waits: it fails.

    Example: tidemill reject 12 register-deploy --by kim --reason "worse for small carriers"
    """
    _decide("reject", run, gate, by, reason, subject, config_file, as_json)


def _decide(
    decision: str,
    run: int,
    gate: str,
    by: str | None,
    reason: str,
    subject: str | None,
    config_file: Path | None,
    as_json: bool,
) -> None:
    from service.cli.connection import open_client
    from service.cli.output import plain, print_json

    client = open_client(config_file)
    if by is None and not client.has_own_name:
        raise Invalid(f"say who decides: tidemill {decision} {run} {gate} --by NAME")
    answer = client.decide(run, gate, decision, by, reason, subject)
    if as_json:
        print_json(answer)
        return
    if answer["note"]:
        typer.echo(plain(f"note: {answer['note']}"), err=True)
    if answer["state"] == "waiting":
        typer.echo(plain(f"gate {gate} of run {run} waits for more: {answer['reason']}"))
        return
    decided = {"passed": "approved", "failed": "rejected"}.get(answer["state"], answer["state"])
    typer.echo(plain(f"gate {gate} of run {run} is {decided} by {answer['decided_by']}"))
