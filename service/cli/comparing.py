"""`tidemill explain` and `diff`: what an event would do, and what changed from one run to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.arguments import RunId, read_text, run_id
from service.cli.firing import RecordKey, parse_headers
from service.cli.options import AsJson, ConfigFile

Subject = Annotated[
    str | None,
    typer.Argument(metavar="[EVENT.json|RUN]", help="A file with an event, `-` for standard input, or a run's number."),
]
Recorded = Annotated[str | None, typer.Option("--event", metavar="ID", help="An accepted event, by its id or key.")]
Form = Annotated[
    str | None,
    typer.Option("--as", metavar="KIND:NAME", help="What is given: kafka:TOPIC, webhook:HOOK or file:PATH."),
]
Headers = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="NAME:VALUE", help="A header of the delivery or Kafka record. May be repeated."),
]
Stage = Annotated[str | None, typer.Argument(metavar="[STAGE]", help="Only this stage.")]
Since = Annotated[
    int | None, typer.Option("--with", parser=run_id, metavar="RUN", help="Compare with this run; default: the last.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(explain)
    app.command()(diff)


def explain(
    subject: Subject = None,
    stage: Stage = None,
    since: Since = None,
    event: Recorded = None,
    form: Form = None,
    header: Headers = None,
    key: RecordKey = None,
    config_file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell what an event would do, or why the stages of a run were computed.

    For an event (a file with a CloudEvent in JSON, `-` for standard input, or --event for one that was accepted): which
    triggers would start which runs, and why the others would not. Nothing is done. With --as, the file holds a Kafka
    record's value or a delivery's body.

    For a number, the run of that number: why each stage was computed, or its result used again, compared with the run
    of the pipeline before it.

    Example: tidemill explain event.json
    """
    from service.errors import Invalid

    run = subject if subject is not None and subject.isascii() and subject.isdigit() else None
    if run is not None and (event is not None or form is not None):
        raise Invalid(f"{run} is a run, to which --event and --as do not belong: write ./{run} for a file of that name")
    if run is None and (stage is not None or since is not None):
        raise Invalid("STAGE and --with belong to a run: tidemill explain 12 train --with 9")
    if run is not None:
        _explain_run(run_id(run), stage, since, config_file, as_json=as_json)
    else:
        given = {"form": form, "headers": parse_headers(header), "record_key": key, "event": event}
        _explain_event(subject, given, config_file, as_json=as_json)


def _explain_run(run: int, stage: str | None, since: int | None, config_file: Path | None, *, as_json: bool) -> None:
    from service.cli.connection import open_client
    from service.cli.output import print_json

    found = open_client(config_file).explain(run, stage, since)
    if as_json:
        print_json(found)
        return
    from service.cli.views.comparing import print_explanation

    print_explanation(found)


def _explain_event(subject: str | None, given: dict[str, Any], config_file: Path | None, *, as_json: bool) -> None:
    from service.cli.connection import open_client
    from service.cli.output import print_json
    from service.errors import Invalid

    form = given["form"]
    alone = form is not None and form.startswith("file:")
    if (subject is None) == (given["event"] is None and not alone):
        raise Invalid("give a file with the event, `-` for standard input, or --event ID: tidemill explain event.json")
    payload = read_text(Path(subject)) if subject is not None else ""
    found = open_client(config_file).explain_event(payload, **given)
    if as_json:
        print_json(found)
        return
    from service.cli.views.asking import print_event_explained

    print_event_explained(found)


def diff(run: RunId, other: RunId, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show two runs side by side: only what differs.

    Example: tidemill diff 9 12
    """
    from service.cli.connection import open_client
    from service.cli.output import print_json

    found = open_client(config_file).diff(run, other)
    if as_json:
        print_json(found)
        return
    from service.cli.views.comparing import print_diff

    print_diff(found)
