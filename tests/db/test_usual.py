"""The one statement that most flushes are does what the statements for each kind do, or leaves it to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from service.cause import Cause
from service.db.accept import Accept
from service.db.attempts import PutAttempt
from service.db.pausing import LiftPause, PutPause
from service.db.results import LookUp
from service.db.runs import Blame, MoveRun
from service.db.steering import Cancel
from service.db.writer import Writer
from service.errors import RunLost
from service.limits import RunLimits
from service.model import AttemptState, RunState
from stages.artifacts import ArtifactRef
from stages.outcome import ErrorRecord
from stages.plan import StageKey
from tests.db.writing import accept, refuse, rows, writing
from triggers.base import Fate, Position

ENTRIES = "select e from run_log, json_array_elements(convert_from(entries, 'utf8')::json) with ordinality n (e, at)"


@asynccontextmanager
async def warm(dsn: str) -> AsyncIterator[Writer]:
    """A writer that knows already what is paused: its first flush asks."""
    async with writing(dsn) as writer:
        await writer.submit(accept("first", "a"))
        yield writer


@pytest.fixture
def only_usual(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calling it forbids every other statement from then on."""

    def forbid() -> None:
        monkeypatch.delattr(Writer, "_by_kind")

    return forbid


def ends(run_id: int, epoch: int = 1, *, stage: str = "s") -> PutAttempt:
    now, output = time.monotonic(), ArtifactRef("a" * 64, "json", 1, b"1")
    return PutAttempt(run_id, "a", epoch, stage, 1, AttemptState.SUCCEEDED, now, now, output=output)


async def together(*writes: Awaitable[Any]) -> list[Any]:
    """What each answers or raises, written in one flush."""
    return await asyncio.gather(*writes, return_exceptions=True)


async def taken(writer: Writer, *ids: str) -> list[int]:
    """Runs this writer's process took for itself."""
    accepted = [(await writer.submit(accept(one, "a", take=True)))[0] for one in ids]
    return [run for one in accepted for run in one.new_runs.values()]


async def test_events_attempts_and_moves_of_one_flush_are_one_statement(database: str, only_usual: Any) -> None:
    async with warm(database) as writer:
        only_usual()
        [one, two] = await taken(writer, "1", "2")
        flushes = writer.commits
        position = Position("scope", "key", "1", "")
        answers = await asyncio.gather(
            writer.submit(ends(one), MoveRun(one, 1, RunState.SUCCEEDED)),
            writer.submit(accept("3", "a", "b", position=position)),
            writer.submit(refuse("4", "a")),
            writer.submit(MoveRun(two, 1, RunState.WAITING, ready_in_s=0.0)),
        )
        assert writer.commits == flushes + 1
    assert answers[0] == [False, None]
    assert [pipeline for _, pipeline in answers[1][0].new_runs] == ["a", "b"]
    assert [[one.fate for one in told] for told in answers[2][0].outcomes.values()] == [[Fate.IGNORED]]
    assert [tuple(row) for row in await rows(database, "select pipeline, state from runs order by id")] == [
        *(("a", "queued"), ("a", "succeeded"), ("a", "waiting"), ("a", "queued"), ("b", "queued"))
    ]
    assert [tuple(row) for row in await rows(database, "select scope, value from positions")] == [("scope", "1")]
    last = await rows(database, f"{ENTRIES} where seq = (select max(seq) from run_log) order by n.at")
    assert [orjson.loads(row["e"])["move"] for row in last] == ["queued", "queued", "succeeded", "succeeded", "waiting"]


async def test_what_is_looked_up_in_a_flush_is_answered_in_its_place_with_what_the_flush_wrote(
    database: str, only_usual: Any
) -> None:
    key, other = StageKey("a" * 32), StageKey("b" * 32)
    async with warm(database) as writer:
        only_usual()
        [one, two] = await taken(writer, "1", "2")
        made, looked = await asyncio.gather(
            writer.submit(replace(ends(one), key=key, reusable=True)),
            writer.submit(ends(two), LookUp([key, other]), MoveRun(two, 1, RunState.SUCCEEDED)),
        )
    assert made == [False]
    assert (looked[0], looked[2]) == (False, None)
    assert {known.run_id for known in looked[1].values()} == {one}
    assert looked[1].keys() == {key}


async def test_each_new_run_is_told_to_whom_it_belongs(database: str, only_usual: Any) -> None:
    async with warm(database) as writer:
        only_usual()
        answers = await asyncio.gather(*(writer.submit(accept(f"{n}", "b", "a")) for n in range(20)))
    found = {(row["event_key"], row["pipeline"]): row["id"] for row in await rows(database, "select * from runs")}
    told = {place: run for [one] in answers for place, run in one.new_runs.items()}
    assert len(told) == 40
    assert told.items() <= found.items()


async def test_a_repeat_among_new_events_is_a_repeat(database: str) -> None:
    async with warm(database) as writer:
        [[new], [again]] = await asyncio.gather(writer.submit(accept("1", "a")), writer.submit(accept("first", "a")))
    assert (len(new.new_runs), len(again.new_runs)) == (1, 0)
    assert [len(told) for told in again.outcomes.values()] == [1]


async def test_a_lost_run_fails_alone(database: str) -> None:
    async with warm(database) as writer:
        [mine, lost] = await taken(writer, "1", "2")
        await rows(database, "update runs set epoch = 2 where id = $1", lost)
        kept, refused = await together(writer.submit(ends(mine)), writer.submit(ends(lost)))
    assert kept == [False]
    assert isinstance(refused, RunLost)
    assert [row["run_id"] for row in await rows(database, "select run_id from attempts")] == [mine]
    told = await rows(database, f"{ENTRIES} where e->>'stage' is not null")
    assert [orjson.loads(row["e"])["run"] for row in told] == [mine]


async def test_who_asked_to_cancel_is_heard_with_the_attempt(database: str) -> None:
    async with warm(database) as writer:
        [run] = await taken(writer, "1")
        await writer.submit(Cancel(run, "kim"))
        assert await writer.submit(ends(run)) == [True]
        assert [row["state"] for row in await rows(database, "select state from attempts")] == ["succeeded"]


async def test_a_pause_by_another_process_holds_back_the_next_event(database: str) -> None:
    async with warm(database) as writer, writing(database) as other:
        await other.submit(PutPause("a", "", "a fire", "kim"))
        [held] = await writer.submit(accept("1", "a"))
        await other.submit(LiftPause("a", "", "kim"))
        [goes_on] = await writer.submit(accept("2", "a"))
    assert [[one.fate for one in told] for told in held.outcomes.values()] == [[Fate.PAUSED]]
    assert len(goes_on.new_runs) == 1


async def test_a_position_that_has_moved_refuses_its_own_events_alone(database: str) -> None:
    async with warm(database) as writer:
        await writer.submit(accept("1", "a", position=Position("scope", "key", "1", "")))
        stale = accept("2", "a", position=Position("scope", "key", "2", "0"))
        refused, kept = await together(writer.submit(stale), writer.submit(accept("3", "a")))
    assert isinstance(refused, Exception)
    assert not isinstance(kept, BaseException)
    assert len(kept[0].new_runs) == 1
    assert [row["id"] for row in await rows(database, "select id from events where id in ('2', '3')")] == ["3"]


async def test_a_row_that_the_database_refuses_fails_alone(database: str) -> None:
    async with warm(database) as writer:
        [run] = await taken(writer, "1")
        poisoned = accept("2", "a")
        poisoned = Accept(poisoned.events, poisoned.runs, [*refuse("2", "b", reason="\0").fates])
        refused, kept, ended = await together(
            writer.submit(poisoned), writer.submit(accept("3", "a")), writer.submit(ends(run))
        )
    assert isinstance(refused, Exception)
    assert not isinstance(kept, BaseException)
    assert ended == [False]
    assert await rows(database, "select from events where id = '2'") == []


FULL: dict[str, Any] = {
    "metrics": {"r2": 0.5},
    "failure": ErrorRecord("Broken", "why"),
    "transient": None,
    "key": UUID(int=7),
    "reused_run": 3,
    "made_at": datetime(2026, 1, 1, tzinfo=UTC),
    "retry_in_s": 5.0,
    "item": 4,
    "reusable": True,
    "reason": "reason",
    "version": "v1",
}
LIMITS = RunLimits(limited=True, key="k", rate_key="r", pool="p")
RUN: dict[str, Any] = {
    "limits": LIMITS,
    "tags": ("t",),
    "due_at": datetime(2030, 1, 1, tzinfo=UTC),
    "queue_timeout_s": 60.0,
    "cleans": True,
    "cause": Cause(5, "s", 2),
    "priority": 3,
}


async def written(dsn: str, table: str, where: str) -> list[dict[str, Any]]:
    """Rows without what must differ; of times only whether they are there."""
    found = await rows(dsn, f"select to_jsonb(t) as row from {table} t where {where}")
    return [
        {name: value is not None if name.endswith("_at") else value for name, value in orjson.loads(one["row"]).items()}
        for one in found
    ]


async def test_the_statements_for_each_kind_write_the_same_rows(database: str) -> None:
    async with warm(database) as writer:
        for n, unusual in ((1, ()), (2, (Blame(0, 0),))):
            given = accept(f"{n}", "a", take=True)
            given.runs = [replace(given.runs[0], **RUN)]
            with suppress(RunLost):
                await writer.submit(given, *unusual)
            [run] = [row["id"] for row in await rows(database, "select id from runs where trigger = $1", "trigger")][n:]
            attempt = replace(ends(run), **FULL)
            with suppress(RunLost):
                await writer.submit(attempt, MoveRun(run, 1, RunState.FAILED, failure={"a": 1}), *unusual)
    ids = [row["id"] for row in await rows(database, "select id from runs order by id offset 1")]
    for table, column in (("attempts", "run_id"), ("runs", "id")):
        usual, by_kind = [(await written(database, table, f"{column} = {one}"))[0] for one in ids]
        for own in (column, "event_key", "queue_deadline", "timed_from"):
            assert (usual.pop(own, None) is None) == (by_kind.pop(own, None) is None)
        assert usual == by_kind
