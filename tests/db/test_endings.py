"""What happens at the end of a run: clean-ups that run once, and times that are over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from service.client import Client
from service.db.steering import Cancel, Resume
from service.model import RunState
from service.settings import Role
from stages import Event, Permanent, Pipeline, Retry, RunEnd, StageContext, Transient, stage
from stages.gates import GateResult, approved
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.writing import rows

calls: Counter[str] = Counter()
ends: list[RunEnd] = []
quick = Retry(max_attempts=3, initial_s=0.01)


@pytest.fixture(autouse=True)
def anew() -> None:
    calls.clear()
    ends.clear()


@stage
async def work(event: Event) -> str:
    calls["work"] += 1
    if event.data == "break":
        raise Permanent("it broke")
    return "done"


@stage
async def go_on(work: str) -> str:
    return work


@stage(retry=quick)
async def tell(end: RunEnd, work: str | None, event: Event) -> str:
    calls["tell"] += 1
    ends.append(end)
    if calls["tell"] == 1:
        raise Transient("not reachable yet")
    return f"{end.state}: {work}"


@stage
async def tidy(end: RunEnd) -> None:
    calls["tidy"] += 1


@stage
async def undo(work: str | None) -> str | None:
    calls["undo"] += 1
    return work


hooked = Pipeline(
    "hooked",
    [work, go_on],
    gates={("work", "go_on"): approved()},
    on_failure=tell,
    on_cancel=undo,
    finally_=tidy,
)


async def test_clean_ups_of_a_failed_run_run_once_and_are_tried_again_like_stages(
    database: str, tmp_path: Path
) -> None:
    async with daemon(settings(database, tmp_path), hooked) as one:
        run = await start(one, "hooked", "1", "break")
        assert await reached(one, run) is RunState.FAILED
        done = await attempts(one, run)
    assert done == [("work", 1, "failed"), ("tell", 1, "failed"), ("tell", 2, "succeeded"), ("tidy", 1, "succeeded")]
    assert ends[-1] == RunEnd("failed", "work", "a permanent failure")
    [row] = await rows(database, "select failure from runs")
    assert row["failure"] == b'{"stage":"work","reason":"a permanent failure"}'


async def test_a_run_cancelled_while_it_waits_cleans_up_and_one_that_never_began_ends_at_once(
    database: str, tmp_path: Path
) -> None:
    async with daemon(settings(database, tmp_path), hooked) as one:
        run = await start(one, "hooked", "1")
        await reached(one, run, RunState.WAITING)
        await one.writer.submit(Cancel(run, "kim"))
        assert await reached(one, run) is RunState.CANCELLED
        done = await attempts(one, run)
    assert done == [("work", 1, "succeeded"), ("undo", 1, "succeeded"), ("tidy", 1, "succeeded")]
    async with daemon(settings(database, tmp_path, Role.TRIGGERS), hooked) as one:
        second = await start(one, "hooked", "2")
        [state] = await one.writer.submit(Cancel(second, "kim"))
        assert state is RunState.CANCELLED
    assert calls["undo"] == 1


async def test_a_run_that_fails_again_cleans_up_again(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), hooked) as one:
        run = await start(one, "hooked", "1", "break")
        await reached(one, run)
        await one.writer.submit(Resume(run, "kim"))
        assert await reached(one, run) is RunState.FAILED
        done = await attempts(one, run)
    assert [one for one in done if one[0] == "tell"] == [
        ("tell", n, s) for n, s in ((1, "failed"), (2, "succeeded"), (3, "succeeded"))
    ]
    assert (calls["work"], calls["tidy"]) == (2, 2)


async def test_a_clean_up_that_fails_leaves_the_run_as_it_was(database: str, tmp_path: Path) -> None:
    @stage
    async def breaks(end: RunEnd) -> None:
        raise Permanent("cannot")

    plain = Pipeline("plain", [work], finally_=breaks)
    async with daemon(settings(database, tmp_path), plain) as one:
        run = await start(one, "plain", "1")
        assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, run) == [("work", 1, "succeeded"), ("breaks", 1, "failed")]


async def test_a_run_out_of_time_is_stopped_and_fails(database: str, tmp_path: Path) -> None:
    @stage
    async def forever(event: Event) -> int:
        await asyncio.Event().wait()
        return 1

    slow = Pipeline("slow", [forever], timeout_s=0.2, finally_=tidy)
    async with daemon(settings(database, tmp_path), slow) as one:
        run = await start(one, "slow", "1")
        assert await reached(one, run) is RunState.FAILED
    [row] = await rows(database, "select failure from runs")
    assert b"the run's time was over" in row["failure"]
    told = await rows(database, "select stage, state, reason from attempts order by started_at")
    assert [tuple(row) for row in told] == [
        ("forever", "cancelled", "the run's time was over"),
        ("tidy", "succeeded", None),
    ]


async def test_a_run_that_waits_for_a_person_ends_when_its_time_is_over(database: str, tmp_path: Path) -> None:
    timed = Pipeline("timed", [work, go_on], gates={("work", "go_on"): approved()}, timeout_s=0.3)
    async with daemon(settings(database, tmp_path), timed) as one:
        run = await start(one, "timed", "1")
        assert await reached(one, run) is RunState.FAILED


async def test_the_time_of_a_stage_over_all_its_attempts(database: str, tmp_path: Path) -> None:
    @stage(retry=Retry(max_attempts=1000, initial_s=0.02, factor=1, jitter=False, total_s=0.3))
    async def never(event: Event) -> int:
        raise Transient("no")

    @stage(retry=Retry(max_attempts=1000, total_s=0.2), timeout_s=60)
    async def hangs(event: Event) -> int:
        await asyncio.Event().wait()
        return 1

    began = time.monotonic()
    async with daemon(settings(database, tmp_path), Pipeline("n", [never]), Pipeline("h", [hangs])) as one:
        runs = [await start(one, "n", "1"), await start(one, "h", "2")]
        assert [await reached(one, run) for run in runs] == [RunState.FAILED] * 2
    assert time.monotonic() - began < 20
    told = [row["failure"] for row in await rows(database, "select failure from runs order by id")]
    assert b"its 0.3 s over all attempts are used up" in told[0]
    assert b"its 0.2 s over all attempts are used up" in told[1]


async def test_policies_say_which_errors_pass(database: str, tmp_path: Path) -> None:
    @stage(retry=Retry(max_attempts=3, initial_s=0.01, transient=(KeyError,), permanent=(ConnectionError,)))
    async def odd(event: Event, context: StageContext) -> int:
        calls[event.data] += 1
        raise KeyError("x") if event.data == "key" else ConnectionError("gone")

    async with daemon(settings(database, tmp_path), Pipeline("odd", [odd])) as one:
        for kind in ("key", "connection"):
            await reached(one, await start(one, "odd", kind, kind))
    assert (calls["key"], calls["connection"]) == (3, 1)


async def test_a_run_nobody_starts_in_time_fails_and_a_late_one_is_told_and_goes_on(
    database: str, tmp_path: Path
) -> None:
    @stage
    async def holds(event: Event) -> int:
        await release.wait()
        return 1

    release = asyncio.Event()
    hasty = Pipeline("hasty", [work], queue_timeout_s=0.2)
    due = Pipeline("due", [holds], due_s=0.2)
    async with daemon(settings(database, tmp_path, Role.TRIGGERS), hasty) as one:
        unstarted = await start(one, "hasty", "1")
    async with daemon(settings(database, tmp_path, Role.EXECUTOR, Role.API), due) as one:
        assert await reached(one, unstarted) is RunState.FAILED
        late = await start(one, "due", "2")
        async with asyncio.timeout(10):
            while not await rows(database, "select from runs where id = $1 and late_at is not null", late):
                await one.news.changed()
        shown = await asyncio.to_thread(Client(one.address).show, late)
        assert (shown["state"], shown["late_at"] is not None) == ("running", True)
        release.set()
        assert await reached(one, late) is RunState.SUCCEEDED
    [row] = await rows(database, "select failure from runs where id = $1", unstarted)
    assert b"nobody started it within 0.2 s" in row["failure"]


async def test_somebody_who_cancels_again_does_not_wait_for_the_clean_up(database: str, tmp_path: Path) -> None:
    begun = asyncio.Event()

    @stage
    async def endless(end: RunEnd) -> None:
        begun.set()
        await asyncio.Event().wait()

    cleaning = Pipeline("cleaning", [work], on_failure=endless, finally_=tidy)
    async with daemon(settings(database, tmp_path), cleaning) as one:
        run = await start(one, "cleaning", "1", "break")
        await begun.wait()
        await one.writer.submit(Cancel(run, "kim"))
        assert not await rows(database, "select from attempts where stage = 'endless' and state <> 'running'")
        await one.writer.submit(Cancel(run, "kim"))
        assert await reached(one, run) is RunState.CANCELLED
        done = await attempts(one, run)
    assert ("endless", 1, "failed") in done
    assert ("tidy", 1, "succeeded") in done


async def test_a_gate_that_hangs_is_ended_with_its_run_and_keeps_no_other_gate_waiting(
    database: str, tmp_path: Path
) -> None:
    released = threading.Event()

    def hangs(work: str) -> bool:
        return released.wait(60)

    def passes(work: str) -> bool:
        return True

    hanging = Pipeline("hanging", [work, go_on], gates={("work", "go_on"): hangs})
    timed = Pipeline("timed", [work, go_on], gates={("work", "go_on"): hangs}, timeout_s=0.3)
    passing = Pipeline("passing", [work, go_on], gates={("work", "go_on"): passes})
    async with daemon(settings(database, tmp_path), hanging, timed, passing) as one:
        hung = [await start(one, "hanging", str(number)) for number in range(12)]
        late = await start(one, "timed", "late")
        for run in hung:
            await reached(one, run, RunState.RUNNING)
        assert await reached(one, late) is RunState.FAILED
        for run in hung:
            await one.writer.submit(Cancel(run, "kim"))
        for run in hung:
            assert await reached(one, run) is RunState.CANCELLED
        assert await reached(one, await start(one, "passing", "p")) is RunState.SUCCEEDED
        released.set()


async def test_what_authors_get_wrong_about_gates_and_errors_fails_their_run_and_nothing_else(
    database: str, tmp_path: Path
) -> None:
    class Odd(Exception):
        @property
        def transient(self) -> bool:
            raise LookupError("broken property")

    class Patient(Exception):
        transient = True
        retry_after_s = float("inf")

    @stage
    async def odd(event: Event) -> int:
        raise Odd

    @stage(retry=Retry(max_attempts=2))
    async def patient(event: Event) -> int:
        raise Patient

    def stops(work: str) -> bool:
        raise StopIteration

    def spells_it(work: str) -> GateResult:
        return GateResult("passed")  # type: ignore[arg-type]

    gates = {"stops": stops, "spells": spells_it}
    gated = [Pipeline(name, [work, go_on], gates={("work", "go_on"): gate}) for name, gate in gates.items()]
    async with daemon(
        settings(database, tmp_path), Pipeline("odd", [odd]), Pipeline("patient", [patient]), *gated
    ) as one:
        assert await reached(one, await start(one, "odd", "1")) is RunState.FAILED
        assert await reached(one, await start(one, "stops", "2")) is RunState.FAILED
        assert await reached(one, await start(one, "spells", "3")) is RunState.SUCCEEDED
        await reached(one, await start(one, "patient", "4"), RunState.WAITING)
