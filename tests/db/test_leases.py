"""Who may drive a run: claims, epochs, and leases that lapse."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest

from service.db.attempts import PutAttempt
from service.db.claims import Claim
from service.db.daemons import Adopt, Adopted, Release
from service.db.notes import PutPipeline
from service.db.reads import Reads
from service.db.runs import Blame, MoveRun, PutGate
from service.db.steering import Cancel, Resume
from service.db.votes import DecideGate as Decide
from service.db.writer import Operation, Writer
from service.errors import RunLost
from service.loops.recovery import Recovery
from service.loops.recovery import Standing as Ending
from service.model import AttemptState, GateState, RunState
from stages.artifacts import ArtifactRef
from tests.db.writing import accept, refuse, rows, until, writing
from triggers import faults

OUTPUT = ArtifactRef("a" * 64, "json", 1, b"1")


async def claim(writer: Writer, limit: int = 10, beside: Sequence[Operation] = ()) -> list[asyncpg.Record]:
    claimed: list[asyncpg.Record] = []

    def note(limit: int, found: Sequence[asyncpg.Record], next_s: float | None) -> None:
        claimed.extend(found)

    await writer.submit(Claim({"a": "v1"}, lambda: limit, note), *beside)
    return claimed


def attempt(run: Any, state: AttemptState, *, number: int = 1, **more: Any) -> PutAttempt:
    now = time.monotonic()
    finished = None if state is AttemptState.RUNNING else now
    return PutAttempt(run["id"], "a", run["epoch"], "s", number, state, now, finished, **more)


async def silence(dsn: str, daemon: int) -> None:
    """Make a process look dead."""
    await rows(dsn, "update daemons set renewed_at = now() - interval '1 hour' where id = $1", daemon)


async def test_a_run_is_claimed_once_by_however_many_processes(database: str) -> None:
    async with writing(database) as one, writing(database) as other:
        for n in range(50):
            one.post(accept(str(n), "a"))
        await one.drained()
        found = [await claim(one, 20), *await asyncio.gather(claim(one, 20), claim(other, 20)), await claim(other, 20)]
    ids = [row["id"] for rows_ in found for row in rows_]
    assert len(ids) == len(set(ids)) == 50


async def test_a_claim_takes_only_the_pipelines_its_process_has(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a", "b"))
        assert [row["pipeline"] for row in await claim(writer)] == ["a"]


async def test_a_dead_process_loses_its_runs_and_their_attempts_are_lost(database: str) -> None:
    async with writing(database) as dead, writing(database) as heir:
        await dead.submit(accept("1", "a"))
        [run] = await claim(dead)
        await dead.submit(attempt(run, AttemptState.RUNNING))
        [adopted] = await heir.submit(Adopt())
        assert adopted.runs == 0
        assert 4.0 < adopted.next_s <= 5.0
        await silence(database, dead.daemon)
        assert await heir.submit(Adopt()) == [Adopted(1, None)]
        [again] = await claim(heir)
    assert (again["id"], again["epoch"], again["adoptions"]) == (run["id"], 2, 1)
    assert [row["state"] for row in await rows(database, "select state from attempts")] == ["lost"]


async def test_runs_are_adopted_as_a_lease_lapses_and_not_a_quarter_of_it_later(database: str) -> None:
    lease_s = 80.0
    async with writing(database, lease_s=lease_s) as dead, writing(database, lease_s=lease_s) as heir:
        await dead.submit(accept("1", "a"))
        await claim(dead)
        lapses = "update daemons set renewed_at = now() - interval '79 s' where id = $1"
        await rows(database, lapses, dead.daemon)
        async with asyncio.TaskGroup() as others:
            recovering = others.create_task(Recovery(heir, lease_s=lease_s).run())
            await until(database, lease_s / 8, "select count(*) = 1 from runs where state = 'queued'")
            recovering.cancel()


async def test_a_process_that_wakes_after_its_lease_writes_nothing_for_runs_it_lost(database: str) -> None:
    async with writing(database) as zombie, writing(database) as heir:
        await zombie.submit(accept("1", "a"))
        [run] = await claim(zombie)
        await silence(database, zombie.daemon)
        await heir.submit(Adopt())
        [again] = await claim(heir)
        before = zombie.daemon
        with pytest.raises(RunLost):
            await zombie.submit(attempt(run, AttemptState.SUCCEEDED, output=OUTPUT))
        with pytest.raises(RunLost):
            await zombie.submit(MoveRun(run["id"], run["epoch"], RunState.SUCCEEDED))
        assert zombie.daemon != before
        await heir.submit(attempt(again, AttemptState.SUCCEEDED, output=OUTPUT))
    assert [(row["epoch"], row["state"]) for row in await rows(database, "select * from attempts")] == [
        (2, "succeeded")
    ]


async def test_adoptions_count_only_while_no_stage_finishes(database: str) -> None:
    async with writing(database) as one, writing(database) as other:
        await one.submit(accept("1", "a"))
        owner, heir = one, other
        counts = []
        for round_number in range(3):
            [run] = await claim(owner)
            counts.append(run["adoptions"])
            await owner.submit(Blame(run["id"], run["epoch"]))
            if round_number == 1:
                await owner.submit(attempt(run, AttemptState.SUCCEEDED, output=OUTPUT))
            await silence(database, owner.daemon)
            await heir.submit(Adopt())
            owner, heir = heir, owner
        [run] = await claim(owner)
        counts.append(run["adoptions"])
    assert counts == [0, 1, 1, 2]


async def test_a_run_for_which_nothing_was_begun_is_not_taken_for_poison(database: str) -> None:
    async with writing(database) as one, writing(database) as other:
        await one.submit(accept("1", "a"))
        owner, heir = one, other
        counts = []
        for _ in range(4):
            [run] = await claim(owner)
            counts.append(run["adoptions"])
            await silence(database, owner.daemon)
            await heir.submit(Adopt())
            owner, heir = heir, owner
    assert counts == [0, 1, 1, 1], "the first time nobody knows"


async def test_a_stopping_process_gives_its_runs_back_at_once_and_calls_nothing_lost(database: str) -> None:
    async with writing(database) as leaving, writing(database) as staying:
        await leaving.submit(accept("1", "a"))
        [run] = await claim(leaving)
        await leaving.submit(attempt(run, AttemptState.RUNNING))
        assert await leaving.submit(Release()) == [1]
        [again] = await claim(staying)
    assert (again["epoch"], again["adoptions"]) == (2, 0)
    assert [row["state"] for row in await rows(database, "select state from attempts")] == ["cancelled"]


async def test_a_parked_run_is_ready_when_its_time_has_come_and_not_before(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        [run] = await claim(writer)
        await writer.submit(MoveRun(run["id"], run["epoch"], RunState.WAITING, ready_in_s=3600))
        assert await claim(writer) == []
        await rows(database, "update runs set ready_at = now()")
        assert [row["epoch"] for row in await claim(writer)] == [2]


def waiting_gate(run: Any) -> PutGate:
    return PutGate(
        *(run["id"], "a", run["epoch"], "s-t", "s", "t", GateState.WAITING, "a person decides", {}, OUTPUT.digest),
        decided_by="approved",
    )


def decide(run: Any, by: str = "kim") -> Decide:
    return Decide(run["id"], "a", "s-t", "approved", by, "looks good")


async def test_a_decision_wakes_the_run_that_waits_for_it_once(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        [run] = await claim(writer)
        await writer.submit(waiting_gate(run), MoveRun(run["id"], run["epoch"], RunState.WAITING))
        assert await claim(writer) == []
        assert all(await writer.submit(decide(run)))
        assert not any(await writer.submit(decide(run, "lou")))
        assert len(await claim(writer)) == 1
    [gate] = await rows(database, "select state, decided_by from gates")
    assert (gate["state"], gate["decided_by"]) == ("passed", "kim")


async def test_a_decision_made_while_the_run_is_still_driven_is_not_lost_when_it_parks(database: str) -> None:
    async with writing(database) as writer, writing(database) as api:
        await writer.submit(accept("1", "a"))
        [run] = await claim(writer)
        await writer.submit(waiting_gate(run))
        assert all(await api.submit(decide(run)))
        await writer.submit(MoveRun(run["id"], run["epoch"], RunState.WAITING))
        assert len(await claim(writer)) == 1


async def test_cancelling_ends_a_run_nobody_drives_and_asks_the_owner_of_one_that_runs(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        await writer.submit(accept("2", "a"))
        [run] = await claim(writer, 1)
        [queued] = await rows(database, "select id from runs where state = 'queued'")
        assert await writer.submit(Cancel(queued["id"], "kim")) == [RunState.CANCELLED]
        assert await writer.submit(Cancel(run["id"], "kim")) == [RunState.RUNNING]
        assert await writer.submit(attempt(run, AttemptState.SUCCEEDED, output=OUTPUT)) == [True]
        await writer.submit(MoveRun(run["id"], run["epoch"], RunState.CANCELLED))
        assert await writer.submit(Cancel(run["id"], "kim")) == [None]


async def test_resuming_queues_a_failed_run_once_and_reopens_its_failed_gates(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        [run] = await claim(writer)
        await writer.submit(waiting_gate(run))
        await writer.submit(MoveRun(run["id"], run["epoch"], RunState.FAILED, failure={"reason": "gate"}))
        assert await writer.submit(Resume(run["id"], "kim")) == [True]
        assert await writer.submit(Resume(run["id"], "kim")) == [False]
        [again] = await claim(writer)
    assert (again["epoch"], again["resume_epoch"]) == (2, 1)
    assert await rows(database, "select from gates") == []


async def test_the_run_log_tells_every_move_in_commit_order(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        [run] = await claim(writer)
        await writer.submit(
            attempt(run, AttemptState.SUCCEEDED, output=OUTPUT), MoveRun(run["id"], run["epoch"], RunState.SUCCEEDED)
        )
    entries = await rows(
        database, "select e->>'move' as move from run_log, json_array_elements(convert_from(entries, 'utf8')::json) e"
    )
    assert [row["move"] for row in entries] == ["queued", "running", "succeeded", "succeeded"]


async def test_a_run_that_is_poked_while_its_owner_lets_go_of_it_moves_all_the_same(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        [run] = await claim(writer)
        other = await asyncpg.connect(database)
        try:
            transaction = other.transaction()
            await transaction.start()
            await other.execute("update runs set poked = true")
            moving = asyncio.ensure_future(
                writer.submit(MoveRun(run["id"], run["epoch"], RunState.WAITING, ready_in_s=3600))
            )
            while not await rows(database, "select from pg_stat_activity where wait_event_type = 'Lock'"):
                await asyncio.sleep(0.01)
            await transaction.commit()
        finally:
            await other.close()
        assert await moving == [None]
        assert len(await claim(writer)) == 1


async def test_two_processes_that_want_each_others_rows_both_write_in_the_end(database: str) -> None:
    async with writing(database) as one, writing(database) as other:
        for n in range(40):
            one.post(accept(str(n), "a"))
        await one.drained()
        mine, theirs = await claim(one, 20), await claim(other, 20)
        moves = [
            *(
                one.submit(MoveRun(run["id"], run["epoch"], RunState.WAITING), Cancel(away["id"], "kim"))
                for run, away in zip(mine, theirs, strict=True)
            ),
            *(
                other.submit(MoveRun(run["id"], run["epoch"], RunState.WAITING), Cancel(away["id"], "kim"))
                for run, away in zip(theirs, mine, strict=True)
            ),
        ]
        await asyncio.gather(*moves)
        assert one.outage is None
        assert other.outage is None
    states = await rows(database, "select state, owner, ready_at is not null as ready from runs")
    assert all(row["owner"] is None and (row["state"] == "cancelled" or row["ready"]) for row in states)


class Standing:
    """A process that stands still in the middle of a transaction, which it has begun by renewing its lease."""

    def __init__(self) -> None:
        self.stands, self.goes_on = asyncio.Event(), asyncio.Event()

    async def reach(self, point: str) -> None:
        if point == "claim.commit" and not self.goes_on.is_set():
            self.stands.set()
            await self.goes_on.wait()


async def test_nobody_waits_for_a_process_that_stands_still_in_a_transaction(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease_s = 0.5
    reads = Reads(database, size=2)
    await reads.open()
    async with writing(database, lease_s=lease_s) as still:
        await still.submit(accept("1", "a"))
        standing = Standing()
        monkeypatch.setattr(faults, "reach", standing.reach)
        monkeypatch.setattr(faults, "armed", lambda: True)
        async with asyncio.TaskGroup() as tasks:
            claiming = tasks.create_task(claim(still, beside=[PutPipeline("a", "v1", b"{}")]))
            await standing.stands.wait()
            monkeypatch.setattr(faults, "armed", lambda: False)
            before = still.daemon
            async with writing(database) as heir, asyncio.timeout(20), asyncio.TaskGroup() as others:
                await asyncio.sleep(2 * lease_s)
                # Before anybody ends its transaction: whoever waited here would wait for ever.
                [adopted] = await heir.submit(Adopt())
                assert adopted.runs == 0
                loops = [Recovery(heir, lease_s=lease_s), Ending(heir, reads, lease_s=lease_s)]
                recovering = [others.create_task(one.run()) for one in loops]
                # What it holds is free as soon as the server has ended its transaction, and its runs are adopted then.
                await heir.submit(PutPipeline("a", "v1", b"{}"), accept("2", "b"))
                while not await rows(database, "select from daemons where id = $1 and state = 'lapsed'", before):
                    await asyncio.sleep(0.05)
                for one in recovering:
                    one.cancel()
            standing.goes_on.set()
            assert [row["epoch"] for row in await claiming] == [1]
        assert still.daemon != before
    await reads.close()


async def test_a_run_cancelled_between_two_processes_has_nothing_under_way(database: str) -> None:
    async with writing(database) as dead, writing(database) as heir:
        await dead.submit(accept("1", "a"))
        [run] = await claim(dead)
        await dead.submit(attempt(run, AttemptState.RUNNING))
        await silence(database, dead.daemon)
        await heir.submit(Adopt())
        assert await heir.submit(Cancel(run["id"], "kim")) == [RunState.CANCELLED]
    assert [row["state"] for row in await rows(database, "select state from attempts")] == ["cancelled"]


async def test_adoption_does_not_wait_for_what_is_written_beside_it(database: str) -> None:
    async with writing(database) as dead, writing(database) as heir:
        await dead.submit(accept("1", "a"))
        await claim(dead)
        await silence(database, dead.daemon)
        holder = await asyncpg.connect(database)
        async with holder.transaction():
            await holder.execute("lock table fates in exclusive mode")
            waiting = heir.submit(refuse("2", "a"))
            [adopted] = await asyncio.wait_for(heir.submit(Adopt()), 10)
            assert adopted.runs == 1
            assert not waiting.done()
        await waiting
        await holder.close()
