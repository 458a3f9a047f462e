"""`tidemill stage run`: one stage as one command, without a database. `tidemill stage list`: what there is to run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli import exits
from service.cli.arguments import Param, parse_params, read_text
from service.cli.options import AsJson, ConfigFile
from service.cli.stage_call import call_by_hand
from service.cli.stage_process import only_on_stderr, prompt_exit
from service.errors import Invalid

if TYPE_CHECKING:
    from service.settings import Settings
    from stages.call import Call
    from stages.outcome import Outcome
    from stages.pipeline import Pipeline
    from stages.plan import PlanStage
    from stages.registry import Registry

REPORT_S = 1.0

PipelineSpec = Annotated[str, typer.Argument(metavar="PIPELINE", help="Its name, or `package.module:name`.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=FILE", help="An input: the --result of the stage that makes it."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Run single stages, without a database.")
    group.command("run")(run)
    group.command("list")(list_stages)
    app.add_typer(group, name="stage")


def run(
    pipeline: PipelineSpec,
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="The stage to run.")],
    call: Annotated[Path | None, typer.Option(help="The call, a JSON file; `-` reads standard input.")] = None,
    event: Annotated[Path | None, typer.Option(help="Instead of a call: a CloudEvent, a JSON file or `-`.")] = None,
    param: Param = None,
    inputs: Inputs = None,
    result: Annotated[Path | None, typer.Option(help="Where to write the result instead of standard output.")] = None,
    config_file: ConfigFile = None,
) -> None:
    """Run one stage and print its result as JSON; what the stage logs and prints goes to standard error.

    Exits with 0 when the stage succeeded, 1 when it failed for good, 75 when it may succeed if run again. Needs no
    database, only the artifact store; with TIDEMILL_URL set it lends the stage the models of that daemon.

    Example: tidemill stage run examples.flights.pipeline:flights ingest --call call.json --result result.json
    """
    from service.config import read_settings
    from service.one_stage import check_call, find_pipeline, find_stage
    from stages.call import Call

    if (call is None) == (event is None):
        raise Invalid("give the call with --call, or an event to make one from with --event")
    settings = read_settings(config_file)
    sys.path.insert(0, str(settings.root))
    with only_on_stderr():
        found = find_pipeline(settings, pipeline)
        planned = find_stage(found, stage)
        if call is not None:
            made = Call.from_json(read_text(call).encode())
        else:
            made = call_by_hand(found, stage, read_text(event or Path("-")), parse_params(param, None), inputs or [])
        check_call(made, found, planned)
    with prompt_exit():
        with only_on_stderr():
            outcome = _attempt(settings, found, planned, made)
        _write(outcome, result)
        raise typer.Exit(_exit_code(outcome))


def list_stages(pipeline: PipelineSpec, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the stages of a pipeline in the order they run, with what each takes.

    Example: tidemill stage list examples.flights.pipeline:flights
    """
    from service.cli.output import Column, print_json, print_table
    from service.config import read_settings
    from service.definition import describe
    from service.one_stage import find_pipeline

    settings = read_settings(config_file)
    sys.path.insert(0, str(settings.root))
    stages = describe(find_pipeline(settings, pipeline))["stages"]
    if as_json:
        print_json(stages)
        return
    columns = [Column("STAGE"), Column("TAKES", wrap=True), Column("RUNNER"), Column("ATTEMPTS"), Column("TIMEOUT")]
    rows = [
        (one["name"], ", ".join(one["inputs"]), one["runner"], one["max_attempts"], _timeout(one["timeout_s"]))
        for one in stages
    ]
    print_table(columns, rows, nothing="it has no stages")


def _timeout(timeout_s: float | None) -> str:
    from service.cli.times import lasted

    return "" if timeout_s is None else lasted(timeout_s)


def _attempt(settings: Settings, pipeline: Pipeline, planned: PlanStage, call: Call) -> Outcome:
    import asyncio
    import logging

    from service.known_secrets import known_secrets
    from service.logs import set_up_logs
    from service.one_stage import run_stage
    from service.own_log import MaskedFormatter

    set_up_logs(settings.log)
    logging.getLogger("tidemill.stage").setLevel(logging.INFO)
    secrets = known_secrets(settings, pipeline.on)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(MaskedFormatter(handler.formatter, lambda: secrets))
    report = _Report(secrets.mask)
    return asyncio.run(run_stage(settings, planned, call, registry=_registry(settings), report=report, secrets=secrets))


def _registry(settings: Settings) -> Registry | None:
    """The models of a running daemon, if one is named."""
    if settings.client.url is None:
        return None
    from service.client import Client
    from service.remote_registry import RemoteRegistry

    return RemoteRegistry(Client(settings.client.url, token=settings.http.api_token))


class _Report:
    """Tells on stderr how far the stage is, once a second at most."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._next_s = 0.0

    def __call__(self, call: Call, fraction: float, note: str) -> None:
        now = time.monotonic()
        if now >= self._next_s or fraction == 1:
            self._next_s = now + REPORT_S
            print(f"{call.stage}: {fraction:.0%} {self._mask(note)}".rstrip(), file=sys.stderr, flush=True)


def _exit_code(outcome: Outcome) -> int:
    from stages.outcome import Failed, Succeeded

    if isinstance(outcome, Succeeded):
        return exits.SUCCEEDED
    passing = not isinstance(outcome, Failed) or outcome.error.transient
    return exits.TRANSIENT if passing else exits.FAILED


def _write(outcome: Outcome, file: Path | None) -> None:
    from stages.result import to_json

    told = to_json(outcome).decode()
    if file is None:
        typer.echo(told)
        return
    # Renamed into place: whoever waits for the file sees it whole.
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_text(told + "\n", encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        raise Invalid(f"--result {file} cannot be written: {error}") from None
