"""What a process may not write any more, also as what is usual; and what a person may not decide unseen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.db.aside import SetAside
from service.db.attempts import PutAttempt
from service.db.runs import Blame, MoveRun, PutGate
from service.db.steering import Resume
from service.db.votes import DecideGate, Taken
from service.db.writer import Writer
from service.errors import RunLost
from service.model import AttemptState, GateState, RunState
from stages.artifacts import ArtifactRef
from tests.db.writing import accept, rows, writing


@asynccontextmanager
async def driving(dsn: str) -> AsyncIterator[tuple[Writer, int]]:
    """A writer that knows what is paused, as it must for what is usual, and a run that its process drives."""
    async with writing(dsn) as writer:
        await writer.submit(accept("first", "a"))
        [accepted] = await writer.submit(accept("1", "a", take=True))
        [run] = accepted.new_runs.values()
        yield writer, run


async def taken_over(dsn: str, run: int) -> None:
    """Another process drives it now."""
    await rows(dsn, "update runs set epoch = epoch + 1 where id = $1", run)


def gate(run: int, subject: str = "d" * 64) -> PutGate:
    return PutGate(run, "a", 1, "s-t", "s", "t", GateState.WAITING, "asked", {}, subject, "approved")


async def test_a_run_that_was_lost_is_not_moved(database: str) -> None:
    async with driving(database) as (writer, run):
        await taken_over(database, run)
        with pytest.raises(RunLost):
            await writer.submit(MoveRun(run, 1, RunState.SUCCEEDED))
        assert [row["state"] for row in await rows(database, "select state from runs where id = $1", run)] == [
            "running"
        ]


async def test_a_run_that_was_lost_gets_no_gate(database: str) -> None:
    async with driving(database) as (writer, run):
        await taken_over(database, run)
        with pytest.raises(RunLost):
            await writer.submit(gate(run))
    assert await rows(database, "select from gates") == []


def succeeded(run: int, epoch: int, digest: str) -> PutAttempt:
    now = time.monotonic()
    output = ArtifactRef(digest * 64, "json", 1, b"1")
    return PutAttempt(run, "a", epoch, "s", 1, AttemptState.SUCCEEDED, now, now, output=output)


@pytest.mark.parametrize("usual", [True, False])
async def test_what_was_done_under_an_earlier_epoch_is_not_written_over(database: str, usual: bool) -> None:
    async with driving(database) as (writer, run):
        await writer.submit(succeeded(run, 1, "a"))
        await taken_over(database, run)
        with pytest.raises(RunLost):
            await writer.submit(succeeded(run, 2, "b"), *(() if usual else (Blame(run, 2),)))
    [kept] = await rows(database, "select output_digest, epoch from attempts where run_id = $1", run)
    assert (kept["output_digest"], kept["epoch"]) == ("a" * 64, 1)


async def test_a_resume_is_of_the_run_as_it_was_seen(database: str) -> None:
    async with driving(database) as (writer, run):
        await writer.submit(MoveRun(run, 1, RunState.CANCELLED))
        await taken_over(database, run)
        assert await writer.submit(Resume(run, "kim", epoch=1)) == [False]
        assert await writer.submit(Resume(run, "kim", epoch=2)) == [True]


async def test_a_run_that_was_lost_keeps_its_results(database: str) -> None:
    async with driving(database) as (writer, run):
        await taken_over(database, run)
        with pytest.raises(RunLost):
            await writer.submit(SetAside(run, 1, "s", [0]))


async def test_nobody_is_blamed_for_a_run_that_was_lost(database: str) -> None:
    async with driving(database) as (writer, run):
        await taken_over(database, run)
        with pytest.raises(RunLost):
            await writer.submit(Blame(run, 1))
    assert [row["blamed"] for row in await rows(database, "select blamed from runs where id = $1", run)] == [False]


async def test_a_process_whose_lease_lapsed_accepts_under_another_name(database: str) -> None:
    async with driving(database) as (writer, _):
        before = writer.daemon
        await rows(database, "update daemons set state = 'lapsed' where id = $1", before)
        await rows(
            database, "update runs set state = 'queued', owner = null, ready_at = now() where owner = $1", before
        )
        await writer.submit(accept("2", "a", take=True))
        assert writer.daemon != before
        owners = await rows(database, "select owner from runs where owner is not null")
        assert [row["owner"] for row in owners] == [writer.daemon]


async def test_a_vote_counts_for_the_artifact_it_is_about_and_no_other(database: str) -> None:
    async with driving(database) as (writer, run):
        await writer.submit(gate(run))
        [voted] = await writer.submit(DecideGate(run, "a", "s-t", "approved", "kim", subject="e" * 64))
        assert voted.taken is Taken.MOVED
        assert await rows(database, "select from gate_votes") == []
        [voted] = await writer.submit(DecideGate(run, "a", "s-t", "approved", "kim", subject="d" * 64))
        assert voted.taken is Taken.COUNTED
