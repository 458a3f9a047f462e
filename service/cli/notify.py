"""`tidemill notify` among the other commands, for `--help`; `service.cli.entry` takes the quick way to it."""

from __future__ import annotations

from typing import Annotated

import typer

from service.notify.options import ABOUT, HELP, METAVAR

Text = str | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=ABOUT)(notify)


def notify(
    status: Annotated[Text, typer.Option(help=HELP["status"])] = None,
    repository: Annotated[Text, typer.Option(help=HELP["repository"])] = None,
    commit: Annotated[Text, typer.Option(help=HELP["commit"])] = None,
    branch: Annotated[Text, typer.Option(help=HELP["branch"])] = None,
    job: Annotated[Text, typer.Option(help=HELP["job"])] = None,
    data: Annotated[Text, typer.Option(metavar=METAVAR["data"], help=HELP["data"])] = None,
    event_id: Annotated[Text, typer.Option("--id", help=HELP["id"])] = None,
    hook: Annotated[Text, typer.Option(help=HELP["hook"])] = None,
    url: Annotated[Text, typer.Option(help=HELP["url"])] = None,
    token_from: Annotated[Text, typer.Option(metavar=METAVAR["token_from"], help=HELP["token_from"])] = None,
    patience: Annotated[float, typer.Option(metavar=METAVAR["patience"], help=HELP["patience"])] = 60.0,
    wait: Annotated[bool, typer.Option("--wait", "-w", help=HELP["wait"])] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=HELP["dry_run"])] = False,
    as_json: Annotated[bool, typer.Option("--json", help=HELP["json"])] = False,
) -> None:
    """Tell a daemon what this CI job did."""
    from service.notify.command import run
    from service.notify.options import Options

    options = Options(
        status=status,
        repository=repository,
        commit=commit,
        branch=branch,
        job=job,
        data=data,
        id=event_id,
        hook=hook,
        url=url,
        token_from=token_from,
        patience=patience,
        wait=wait,
        dry_run=dry_run,
        json=as_json,
    )
    raise typer.Exit(run(options))
