"""`tidemill stage run`: one stage as one command, without a database. `tidemill stage list`: what there is to run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TextIO

import typer

from service import exits
from service.cli.arguments import Param, parse_params, read_text
from service.cli.options import AsJson, ConfigFile
from service.cli.stage_call import call_by_hand
from service.cli.stage_process import line_by_line, only_on_stderr
from service.errors import Invalid

if TYPE_CHECKING:
    from logging import LogRecord

    from service.settings import Settings
    from stages.call import Call
    from stages.cost import Cost, Meter
    from stages.key_lines import KeyLines
    from stages.outcome import Outcome
    from stages.plan import PlanStage
    from stages.registry import Registry
    from stages.secrets import Secrets

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
    records: Annotated[Path | None, typer.Option(help="Records of a micro-batch, as a runner has read them.")] = None,
    code: Annotated[str | None, typer.Option(help="Refuse other code than this, `PYTHON:DIGEST`.")] = None,
    tell: Annotated[bool, typer.Option("--tell", help="Log and report for a runner, as JSON (RFC 7464).")] = False,
    config_file: ConfigFile = None,
) -> None:
    """Run one stage and print its result as JSON; what the stage logs and prints goes to standard error.

    Exits with 0 when the stage succeeded, 1 when it failed for good, 75 when it may succeed if run again. Needs no
    database, only the artifact store; with TIDEMILL_URL set it lends the stage the models of that daemon.

    Example: tidemill stage run examples.flights.pipeline:flights ingest --call call.json --result result.json
    """
    from service.config import read_settings
    from service.known_secrets import known_secrets
    from service.one_stage import check_call, find_pipeline, find_stage
    from stages.call import Call
    from stages.cost import Meter

    if (call is None) == (event is None):
        raise Invalid("give the call with --call, or an event to make one from with --event")
    settings = read_settings(config_file)
    with line_by_line() if tell else only_on_stderr() as out:
        planned = find_stage(found := find_pipeline(settings, pipeline), stage)
        if call is not None:
            made = Call.from_json(read_text(call).encode())
        else:
            made = call_by_hand(found, stage, read_text(event or Path("-")), parse_params(param, None), inputs or [])
        check_call(made, found, planned)
        secrets = known_secrets(settings, found.on)
        wanted, reporting = _Wanted(result, records, code, out), _reporting(settings, secrets, tell)
        attempt = _Attempt(settings, planned, made, wanted, reporting, secrets, Meter())
        raise typer.Exit(attempt.make())


def list_stages(pipeline: PipelineSpec, config_file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the stages of a pipeline in the order they run, with what each takes.

    Example: tidemill stage list examples.flights.pipeline:flights
    """
    from service.cli.output import Column, print_json, print_table
    from service.config import read_settings
    from service.definition import describe
    from service.one_stage import find_pipeline

    settings = read_settings(config_file)
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
    from service.words.times import lasted

    return "" if timeout_s is None else lasted(timeout_s)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line says of the attempt. The result goes to a file, or to `out`."""

    result: Path | None
    records: Path | None
    code: str | None
    out: TextIO


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The attempt, from its call to its result. No error holds any of `secrets`, which learn what the stage hides."""

    settings: Settings
    stage: PlanStage
    call: Call
    wanted: _Wanted
    reporting: Reporting
    secrets: Secrets
    meter: Meter

    def make(self) -> int:
        """Make it and write its result; returns the exit code. Interrupted, there is no result."""
        from service.one_stage import Lent, check_code, run_stage
        from stages.errors import CodeChanged
        from stages.outcome import Failed, record_of
        from stages.secret_params import values_in, values_of
        from stages.workers.foreground import Foreground

        self.secrets.add(*values_of(self.call.params, self.stage.params_type), *values_in(self.call.all_events))
        lent = Lent(
            registry=_registry(self.settings),
            report=self.reporting.progress,
            hide=self._hide,
            records=self.wanted.records,
        )
        try:
            check_code(self.wanted.code, self.stage)
            work = partial(run_stage, self.settings, self.stage, self.call, lent)
            outcome = Foreground(work, self._abandon).run()
        except CodeChanged as error:
            outcome = Failed(record_of(error))
        except KeyboardInterrupt:
            return exits.INTERRUPTED
        self._write(outcome)
        return _exit_code(outcome)

    def _hide(self, value: str) -> None:
        self.secrets.add(value)
        self.reporting.hide(value)

    def _abandon(self, outcome: Outcome) -> None:
        self._write(outcome)
        os._exit(_exit_code(outcome))

    def _write(self, outcome: Outcome) -> None:
        from stages.result import to_json
        from stages.secrets import masked_outcome

        self.reporting.spent(self.meter.read())
        self.reporting.finish()
        sys.stdout.flush()
        told = to_json(masked_outcome(outcome, self.secrets)).decode() + "\n"
        file = self.wanted.result
        if file is None:
            self.wanted.out.write(told)
            self.wanted.out.flush()
            return
        # Renamed into place: whoever waits for the file sees it whole.
        unfinished = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            unfinished.write_text(told, encoding="utf-8")
            unfinished.replace(file)
        except OSError as error:
            raise Invalid(f"--result {file} cannot be written: {error}") from None


def _reporting(settings: Settings, secrets: Secrets, tell: bool) -> Reporting:
    """Send what is logged, and how far the stage is, to standard error."""
    import logging

    from service.logs.daemon import set_up_logs
    from service.logs.masked import MaskedFormatter
    from stages.key_lines import KeyLines

    set_up_logs(settings.log)
    logging.getLogger("tidemill.stage").setLevel(logging.INFO)
    if not tell:
        for handler in logging.getLogger().handlers:
            hides = partial(_hides, KeyLines())
            handler.setFormatter(MaskedFormatter(handler.formatter, lambda: secrets, hides))
        return _ForPeople(secrets.mask)
    from stages.commands.telling import Telling

    telling = Telling()
    logging.basicConfig(level=logging.INFO, handlers=[telling], force=True)
    telling.begun()
    return telling


def _hides(keys: KeyLines, record: LogRecord, text: str) -> bool:
    return keys.hides("log", text)


def _registry(settings: Settings) -> Registry | None:
    """The models of a running daemon, if one is named."""
    if settings.client.url is None:
        return None
    from service.client import Client
    from service.remote_registry import RemoteRegistry

    return RemoteRegistry(Client(settings.client.url, token=settings.http.api_token))


class Reporting(Protocol):
    """Hears how far a stage is."""

    def progress(self, call: Call, fraction: float, note: str) -> None:
        """Called from any thread."""

    def hide(self, value: str) -> None:
        """From now on this is not to be shown."""

    def spent(self, cost: Cost) -> None:
        """The attempt is over."""

    def finish(self) -> None:
        """Tell what was not told yet."""


class _ForPeople:
    """Tells on stderr how far the stage is, once a second at most."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._next_s = 0.0

    def progress(self, call: Call, fraction: float, note: str) -> None:
        now = time.monotonic()
        if now >= self._next_s or fraction == 1:
            self._next_s = now + REPORT_S
            print(f"{call.stage}: {fraction:.0%} {self._mask(note)}".rstrip(), file=sys.stderr, flush=True)

    def hide(self, value: str) -> None:
        """It is masked already."""

    def spent(self, cost: Cost) -> None:
        """The daemon keeps account; people have `time`."""

    def finish(self) -> None:
        """A person has seen enough."""


def _exit_code(outcome: Outcome) -> int:
    from stages.outcome import Failed, Lost

    if isinstance(outcome, Failed):
        return exits.TRANSIENT if outcome.error.transient else exits.FAILED
    return exits.TRANSIENT if isinstance(outcome, Lost) else exits.SUCCEEDED
