"""One attempt made by `tidemill stage run` in another process, wherever that is."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from stages.call import Call
from stages.code_root import CODE_VARIABLE
from stages.commands.command import Ask, Command, ending
from stages.commands.telling import told_in
from stages.cost import Cost
from stages.errors import Permanent
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, guarded
from stages.plan import PlanStage
from stages.result import from_json
from stages.runners.base import RunnerTools, timed_out
from stages.workers.attempt_log import AttemptLog
from stages.workers.lent import read_packed
from stages.workers.wire import Message, from_text
from triggers.base import range_of_event

LOAD_S = 120.0
# A child that lost its daemon, where no signal reaches it, ends this long after its time.
BACKSTOP_S = 60.0
TRANSIENT_EXIT = 75
CALL, RESULT, RECORDS, CONFIG, SCRATCH = "call.json", "result.json", "records.bin", "tidemill.toml", "tmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a child runs: what goes before `stage run` on its command line, and how it is asked to stop.

    `sees` is the attempt's folder as the child sees it. `explain` says what an exit code and the last words mean where
    there is no result, or None.
    """

    before: Sequence[str]
    environment: Mapping[str, str]
    sees: str
    ask: Ask | None = None
    explain: Callable[[int, str], Outcome | None] = lambda code, said: None


@contextmanager
def attempt_folder() -> Iterator[Path]:
    """A folder for call and result. It goes with all that is in it."""
    folder = Path(tempfile.mkdtemp(prefix="tidemill-attempt-"))
    try:
        (folder / SCRATCH).mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def child_environment(tools: RunnerTools, store_url: str) -> dict[str, str]:
    """The daemon's variables without what is its own: its settings, and which Python it is."""
    own = ("PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_") and name not in own}
    if CODE_VARIABLE in os.environ:
        kept[CODE_VARIABLE] = os.environ[CODE_VARIABLE]
    return kept | lent_settings(tools, store_url)


def lent_settings(tools: RunnerTools, store_url: str) -> dict[str, str]:
    """What a child is told of the daemon: where the artifacts are, and who answers for the models."""
    api = tools.api()
    lent = {"TIDEMILL_ARTIFACTS": store_url}
    if api is not None:
        url, token = api
        lent |= {"TIDEMILL_URL": url} | ({"TIDEMILL_API_TOKEN": token} if token else {})
    return lent


class Preparing:
    """Lines of an attempt's log about how it is prepared."""

    def __init__(self, stage: PlanStage, call: Call, tools: RunnerTools) -> None:
        self._log = AttemptLog(stage.pipeline, call, tools.logs.of(call), _unmuted)
        self._name = f"tidemill.stage.{stage.pipeline}.{stage.name}.runner"

    def say(self, text: str) -> None:
        """One line."""
        head = {"name": self._name, "level": logging.INFO, "created": time.time(), "fields": {}}
        self._log.heard(Message("log", head, from_text(text)))


def _unmuted(what: str) -> None:
    """It is heard to its end, and counted."""


async def make(stage: PlanStage, call: Call, tools: RunnerTools, folder: Path, place: Place) -> Outcome:
    """Make the attempt. Its time counts from when the child has loaded the pipeline."""
    failure = await guarded(_hand_over(stage, call, tools, folder))
    if isinstance(failure, Failed):
        return failure
    hearing = _Hearing(stage, call, tools)
    command = Command(
        [*place.before, *_arguments(stage, place.sees)],
        hearing.line,
        environment=place.environment,
        ask=place.ask,
    )
    try:
        async with asyncio.timeout(LOAD_S) as hearing.scope:
            code = await command.run()
    except TimeoutError:
        if hearing.begun:
            return timed_out(call.timeout_s)
        return Lost(f"the process did not load {stage.spec} within {LOAD_S:g} s")
    return _outcome(folder / RESULT, code, hearing, place)


async def _hand_over(stage: PlanStage, call: Call, tools: RunnerTools, folder: Path) -> None:
    """Write what the child reads."""
    backstop_s = None if call.timeout_s is None else call.timeout_s + BACKSTOP_S
    (folder / CALL).write_bytes(replace(call, timeout_s=backstop_s).to_json())
    (folder / CONFIG).touch()
    if not stage.takes_records:
        return
    if tools.reader is None:
        raise Permanent(f"stage {stage.name!r} takes Records, but this daemon has no broker to read them from")
    try:
        offsets = range_of_event(call.event)
    except (KeyError, TypeError):
        return
    body, head = await read_packed(offsets, tools.reader)
    (folder / RECORDS).write_bytes(orjson.dumps(head) + b"\n" + body)


def _arguments(stage: PlanStage, sees: str) -> list[str]:
    code = f"{sys.version_info.major}.{sys.version_info.minor}:{stage.code_digest}"
    given = ["stage", "run", str(stage.spec), stage.name, "--call", f"{sees}/{CALL}", "--result", f"{sees}/{RESULT}"]
    given += ["--config", f"{sees}/{CONFIG}", "--tell", "--code", code]
    return [*given, *(["--records", f"{sees}/{RECORDS}"] if stage.takes_records else [])]


def _outcome(result: Path, code: int, hearing: _Hearing, place: Place) -> Outcome:
    """What the child's result says, or else how it ended."""
    if result.exists():
        return from_json(result.read_bytes())
    explained = place.explain(code, hearing.last_words(code))
    if explained is not None:
        return explained
    if code == TRANSIENT_EXIT:
        return Failed(ErrorRecord("stages.errors.Transient", hearing.last_words(code), transient=True))
    if code < 0 or code > 128 or hearing.begun:
        return Lost(f"the process of the stage {ending(code)}")
    return Failed(ErrorRecord("stages.errors.NoEnvironment", hearing.last_words(code)))


class _Hearing:
    """What a child prints and tells, put where it belongs."""

    def __init__(self, stage: PlanStage, call: Call, tools: RunnerTools) -> None:
        self._stage = stage
        self._call = call
        self._tools = tools
        self._log = AttemptLog(stage.pipeline, call, tools.logs.of(call), _unmuted)
        self._last: list[str] = []
        self._hidden: set[str] = set()
        self.scope: asyncio.Timeout | None = None
        self.begun = False

    def line(self, stream: str, line: str, size_bytes: int) -> None:
        """A line that was printed, or a message in it."""
        printed, told = told_in(line)
        if printed or told is None:
            self._last = [*self._last[-9:], printed]
            self._log.printed(stream, printed, size_bytes)
        if told is not None:
            self._told(told)

    def last_words(self, code: int) -> str:
        """What the child printed at its end."""
        said = "\n".join(self._last) or "it said nothing"
        return f"stage {self._stage.name!r} could not be started in its environment (exit code {code}): {said}"

    def _told(self, told: Mapping[str, Any]) -> None:
        if told["kind"] == "begun":
            self._begin()
        elif told["kind"] == "progress":
            self._tools.report(self._call, told["fraction"], told["message"])
        elif told["kind"] == "spent":
            self._tools.spent(self._call, Cost(told["cpu_s"], told["memory_bytes"]))
        elif told["kind"] == "mask":
            self._mask(told["message"])
        else:
            self._log.heard(Message("log", told, from_text(told["message"])))

    def _mask(self, value: str) -> None:
        """It is told on both outputs: the first to arrive counts."""
        if value not in self._hidden:
            self._hidden.add(value)
            self._log.mask(value)

    def _begin(self) -> None:
        self.begun = True
        self._tools.began(self._call)
        if self.scope is not None and not self.scope.expired():
            timeout_s = self._call.timeout_s
            self.scope.reschedule(None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s)
