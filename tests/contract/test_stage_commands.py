"""Stages that crash, hang, flood or cling in a process of `stage run`, with an environment and in a container.

The container engine is a recording of its CLI (`fake_engine.py`).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from stages.call import Call
from stages.log_lines import MOST_ROWS, LogLine, Passing
from stages.outcome import Lost, Succeeded
from stages.runners.base import RunnerTools, open_runner
from stages.stores import open_store
from tests.contract.attempts import Attempts, heard
from tests.contract.engines import IMAGE, containers, fake_engine
from tests.contract.worker_stages import pipeline
from tests.fault.processes import all_gone, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
LOCK = Path(__file__).with_name("requirements-six.lock")
PACKAGES = {"environment": {"environment": str(LOCK)}, "container": {"image": IMAGE}}


class Ordered(Passing):
    """The log of an attempt: what was added, and from when on a value was to be hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def add(self, line: LogLine) -> None:
        super().add(line)
        self.told.append(line.message)

    def mask(self, value: str) -> None:
        self.told.append(f"hide {value}")


class Opened:
    """Logs, of which the latest may be looked at."""

    latest = Ordered()

    def of(self, call: Call) -> Ordered:
        self.latest = Ordered()
        return self.latest


LOGS = Opened()


@pytest_asyncio.fixture(params=PACKAGES, scope="module", loop_scope="module")
async def lent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Attempts]:
    """A runner of each kind, which keeps its environment over the tests."""
    home, url = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("store").as_uri()
    reports: list[tuple[float, str]] = []

    def report(call: Call, fraction: float, note: str) -> None:
        reports.append((fraction, note))

    with fake_engine(home) as engine:
        tools = RunnerTools(
            store=open_store(url), store_url=url, report=report, logs=LOGS, threads=2, home=home, container_cli=engine
        )
        runner = open_runner(request.param, tools)
        yield Attempts(runner, pipeline, home, PACKAGES[request.param], reports)
        await runner.close()
        assert containers(home) == {}


@pytest.fixture
def attempts(lent: Attempts, tmp_path: Path) -> Attempts:
    """The runner, with a folder of the test's own."""
    lent.folder = tmp_path
    lent.reports.clear()
    return lent


@pytest.mark.parametrize(
    ("stage", "number"), [("exits", "exit code 3"), ("crashes", signal.SIGSEGV), ("is_killed", signal.SIGKILL)]
)
async def test_a_process_that_dies_is_lost(stage: str, number: str | signal.Signals, attempts: Attempts) -> None:
    reason = await attempts.lost(stage)
    if isinstance(number, signal.Signals):
        shown = (number.name, f"exit code {128 + number}", "out of memory")
        assert any(one in reason for one in shown), reason
    else:
        assert number in reason


@pytest.mark.parametrize("stage", ["sleeps", "waits"])
async def test_a_stage_out_of_time_is_stopped_for_real_and_may_clean_up(stage: str, attempts: Attempts) -> None:
    error = await attempts.error(stage, timeout_s=0.5)
    assert (error.type, error.message, error.transient) == ("TimeoutError", "timed out after 0.5 s", True)
    assert (attempts.folder / "cleaned").exists()
    await all_gone([await attempts.process_of()])


async def test_a_stage_that_clings_is_killed(attempts: Attempts) -> None:
    assert (await attempts.error("clings", timeout_s=0.5)).transient
    await all_gone([await attempts.process_of()])


async def test_cancelling_ends_the_process_and_all_that_it_started(attempts: Attempts) -> None:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(attempts.run("starts_another"))
        process, other = await attempts.process_of(), await attempts.process_of("other")
        task.cancel()
    assert task.cancelled()
    assert not running([process])
    await all_gone([other])


async def test_what_a_stage_and_its_programs_print_are_lines_of_its_attempt(attempts: Attempts) -> None:
    with heard() as lines:
        await attempts.run("prints")
    printed = [line for stream, line in lines if stream == "prints.stdout"]
    assert printed == ["one", "two", "raw \ufffd", "a program's"]
    assert [line for stream, line in lines if stream == "prints.stderr"] == ["whole"]


@pytest.mark.parametrize("stage", ["floods", "floods_the_log"])
async def test_a_flood_is_dropped_beyond_a_bound_and_blocks_nobody(stage: str, attempts: Attempts) -> None:
    with heard() as flood:
        assert isinstance(await attempts.run(stage), Succeeded)
    assert 5_000 < len([line for logger, line in flood if not logger.endswith(".runner")]) <= MOST_ROWS


async def test_what_a_stage_hides_is_known_before_what_is_printed_after_it(attempts: Attempts) -> None:
    assert isinstance(await attempts.run("hides"), Succeeded)
    told = LOGS.latest.told
    assert sorted(told) == ["a program's hunter22", "before ", "err hunter22", "hide hunter22", "out hunter22"]
    assert told.index("hide hunter22") < min(told.index(f"{name} hunter22") for name in ("out", "err", "a program's"))


async def test_of_many_reports_the_last_is_never_lost(attempts: Attempts) -> None:
    await attempts.run("tells_every_step")
    assert attempts.reports[0] == (0.0, "step 0")
    assert attempts.reports[-1] == (1.0, "step 1000")
    assert len(attempts.reports) < 500


async def test_other_code_than_the_daemons_is_not_run(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = attempts.planned("process_id")
    object.__setattr__(planned, "code_digest", "another")
    monkeypatch.setattr(attempts, "planned", lambda stage: planned)
    error = await attempts.error("process_id")
    assert error.transient
    assert "restart the daemon" in error.message


async def test_an_interrupted_stage_is_lost_and_not_ours(attempts: Attempts) -> None:
    outcome = await attempts.run("interrupts")
    assert isinstance(outcome, Lost)
    assert await attempts.made("process_id") != os.getpid()
