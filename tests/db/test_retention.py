"""What is kept no longer goes, and nothing that is needed goes with it, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from service.clock import SystemClock
from service.db import retention
from service.db.accept import Accept
from service.db.connect import sql
from service.db.ledger import audit
from service.db.registry import RegisterVersion
from service.db.results import LookUp
from service.db.retention import removing
from service.db.writer import Writer
from service.errors import Conflict
from service.loops.retention import Retention
from service.retention import CleanUp, Policy
from stages.artifacts import ArtifactRef, ArtifactStore, digest_of
from stages.errors import ArtifactMissing
from stages.mapped import gather
from stages.plan import StageKey
from stages.registry import NewVersion
from stages.stores import open_store
from tests.db.writing import accept, event_row, rows, writing
from triggers import faults

# Runs and attempts are made old, and their states moved, by hand.
pytestmark = pytest.mark.rows_by_hand

GRACE_S = 100_000.0
MONTH = Policy(days=30, grace_s=GRACE_S)
LARGE = 9000


@dataclass
class Place:
    """A database and a store to clean up, and the parts that do it."""

    dsn: str
    store: ArtifactStore
    writer: Writer
    retention: Retention

    async def clean(self, policy: Policy = MONTH) -> CleanUp:
        return await self.retention.clean(policy, by="kim")

    async def plan(self, policy: Policy = MONTH) -> CleanUp:
        return await self.retention.plan(policy)

    async def run(self, event: str, pipeline: str = "mill", *, days: float = 60, state: str = "succeeded") -> int:
        """A run that ended in `state` so many days ago."""
        [accepted] = await self.writer.submit(accept(event, pipeline))
        [run_id] = accepted.new_runs.values()
        await self.ask(
            "update runs set state = $2, ready_at = null, started_at = now() - make_interval(secs => $3),"
            " finished_at = now() - make_interval(secs => $3) where id = $1",
            run_id,
            state,
            days * 86_400,
        )
        return int(run_id)

    async def attempt(self, run_id: int, content: str | None, *, stage: str = "a", key: StageKey | None = None) -> str:
        """A stage of it that made something of the store (or, None, something small); returns the digest."""
        data = b"7" if content is None else content.encode() * LARGE
        digest = digest_of(data) if content is None else await self.store.put(data)
        await self.ask(
            "insert into attempts (run_id, stage, attempt, epoch, state, key, reusable, output_digest, output_codec,"
            " output_size, output_inline, started_at, finished_at)"
            " values ($1, $2, 1, 1, 'succeeded', $3, $3::uuid is not null, $4, 'json', $5, $6, now(), now())",
            run_id,
            stage,
            key,
            digest,
            len(data),
            data if content is None else None,
        )
        return digest

    async def ask(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        return await rows(self.dsn, query, *arguments)

    async def left(self) -> list[int]:
        return [row["id"] for row in await self.ask("select id from runs order by id")]

    async def age(self, days: float) -> None:
        """Make everything in the store, and what is set aside there, older."""
        root: Path = self.store.root  # type: ignore[attr-defined]
        for path in [path for path in root.rglob("*") if path.is_file()]:
            at = path.stat().st_mtime - days * 86_400
            os.utime(path, (at, at))
            if ".aside" in path.parts:
                was = datetime.strptime(path.name.partition("-")[0], "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
                earlier = datetime.fromtimestamp(was.timestamp() - days * 86_400, UTC)
                path.rename(path.with_name(f"{earlier:%Y%m%dT%H%M%S.%fZ}-{path.name.partition('-')[2]}"))


@asynccontextmanager
async def place(dsn: str, folder: Path) -> AsyncIterator[Place]:
    store = open_store((folder / "artifacts").as_uri())
    async with writing(dsn) as writer:
        yield Place(dsn, store, writer, Retention(dsn, store, writer, SystemClock()))


@pytest.fixture
async def here(database: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with place(database, tmp_path) as one:
        yield one


async def count(here: Place, table: str) -> int:
    [row] = await here.ask(f"select count(*) from {table}")
    return int(row["count"])


async def test_old_runs_go_with_all_that_is_theirs_and_their_events_stay(here: Place) -> None:
    old, young = await here.run("1"), await here.run("2", days=10)
    for run_id in (old, young):
        await here.attempt(run_id, None)
        await here.ask(
            "insert into stage_logs (run_id, stage, attempt, at, level, message)"
            " values ($1, 'a', 1, now(), 'info', 'x')",
            run_id,
        )
        await here.ask(
            "insert into run_actions (run_id, action, by, detail) values ($1, 'resumed', 'kim', '{}')", run_id
        )
        await here.ask(
            "insert into gates (run_id, gate, source, target, state, reason, evidence, subject, decided_by)"
            " values ($1, 'g', 'a', 'b', 'passed', '', '{}', 's', 'me')",
            run_id,
        )
    done = await here.clean()
    assert await here.left() == [young]
    for table in ("attempts", "stage_logs", "run_actions", "gates"):
        assert [row["run_id"] for row in await here.ask(f"select run_id from {table}")] == [young]
    assert await count(here, "events") == 2
    [counts] = done["pipelines"]
    assert (counts["pipeline"], counts["runs"], counts["attempts"], counts["log_lines"]) == ("mill", 1, 1, 1)


async def test_what_is_left_is_not_counted_after_each_batch(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million marked runs take a tenth of a second to be counted, and five thousand batches to be removed."""
    asked: list[str] = []

    async def noted(point: str) -> None:
        asked.append(point)

    monkeypatch.setattr(retention, "BATCH", 1)
    monkeypatch.setattr(faults, "reach", noted)
    for number in range(5):
        await here.run(str(number))
    done = await here.clean()
    assert (done["pipelines"][0]["runs"], await here.left()) == (5, [])
    assert asked.count("count_removing.commit") == 2


async def test_a_dry_run_tells_exactly_what_then_goes(here: Place) -> None:
    for number in range(5):
        run_id = await here.run(str(number), "mill" if number % 2 else "flights", days=60 if number < 4 else 1)
        await here.attempt(run_id, f"{number}", stage="own")
        await here.attempt(run_id, "shared by all")
    await here.age(30)
    before = await here.left()
    plan = await here.plan()
    assert (await here.left(), [one async for one in here.store.set_aside()]) == (before, [])
    done = await here.clean()
    assert plan == {**done, "dry_run": True}
    assert [(one["pipeline"], one["runs"], one["artifacts"]) for one in done["pipelines"]] == [
        ("flights", 2, 2),
        ("mill", 2, 2),
    ]
    assert done["set_aside"] == {"artifacts": 4, "size_bytes": 4 * LARGE}


async def test_logs_and_evidence_in_the_store_go_with_their_runs_only(here: Place) -> None:
    old, young = await here.run("1"), await here.run("2", days=1)
    made = [await here.store.put(content.encode() * LARGE) for content in ("log", "new log", "report", "new report")]
    for run_id, log, report in ((old, made[0], made[2]), (young, made[1], made[3])):
        await here.ask(
            "insert into stage_log_files (run_id, stage, item, attempt, digest, lines, size_bytes, dropped_lines)"
            " values ($1, 'a', -1, 1, $2, 500, 1000, 0)",
            run_id,
            log,
        )
        await here.ask(
            "insert into gate_history (run_id, gate, state, reason, evidence, subject, decided_by, report, report_size)"
            " values ($1, 'g', 'passed', '', '{}', 's', 'me', $2, 1000)",
            run_id,
            report,
        )
    await here.age(2)
    plan, done = await here.plan(), await here.clean()
    assert plan == {**done, "dry_run": True}
    assert (done["pipelines"][0]["log_lines"], done["pipelines"][0]["artifacts"]) == (500, 2)
    assert {one.digest async for one in here.store.stored()} == {made[1], made[3]}


async def test_the_newest_stay_whatever_their_age(here: Place) -> None:
    mill = [await here.run(str(number), days=100 - number) for number in range(5)]
    other = [await here.run(f"o{number}", "other") for number in range(2)]
    await here.clean(replace(MONTH, runs=3))
    assert await here.left() == sorted([*mill[2:], *other])
    await here.clean(Policy(runs=1, grace_s=GRACE_S))
    assert await here.left() == [mill[4], other[1]]


async def test_without_bounds_no_run_goes(here: Place) -> None:
    runs = [await here.run("1", days=9999)]
    await here.clean(Policy(grace_s=GRACE_S))
    assert await here.left() == runs


@pytest.mark.parametrize("state", ["queued", "running", "waiting"])
async def test_what_is_not_finished_stays(here: Place, state: str) -> None:
    [accepted] = await here.writer.submit(accept("1", "mill", take=state == "running"))
    [run_id] = accepted.new_runs.values()
    await here.ask("update runs set state = $2, queued_at = now() - interval '1 year' where id = $1", run_id, state)
    await here.clean()
    assert await here.left() == [run_id]


async def test_failed_runs_stay_until_their_review_is_closed(here: Place) -> None:
    run_id = await here.run("1", state="failed")
    assert (await here.clean())["in_review"] == 1
    assert await here.left() == [run_id]
    await here.ask("update runs set abandoned_at = now(), abandoned_by = 'kim'")
    await here.clean()
    assert await here.left() == []


async def test_what_made_a_registered_model_stays_with_its_artifacts(here: Place) -> None:
    registers, trained, reads = await here.run("1"), await here.run("2"), await here.run("3")
    model = await here.attempt(trained, "model")
    data = await here.attempt(reads, "data", stage="ingest")
    lost = await here.attempt(await here.run("4"), "other")
    new = NewVersion(model="m", artifacts={"model": model}, lineage={"data": data}, run_id=registers, pipeline="mill")
    await here.writer.submit(RegisterVersion(new, "key"))
    await here.age(400)
    for _ in range(3):
        await here.clean()
        await here.age(400)
    assert await here.left() == [registers, trained, reads]
    assert await here.store.exists(model)
    assert await here.store.exists(data)
    assert not await here.store.exists(lost)


async def test_an_artifact_of_a_model_stays_even_where_no_run_refers_to_it(here: Place) -> None:
    model = await here.store.put(b"m" * LARGE)
    await here.writer.submit(RegisterVersion(NewVersion(model="m", artifacts={"model": model}), "key"))
    for _ in range(3):
        await here.age(400)
        await here.clean()
    assert [one.digest async for one in here.store.stored()] == [model]


async def test_a_sub_run_goes_after_the_run_it_belongs_to(here: Place) -> None:
    """Resumed, that one looks for its sub-run; a repeat of its event would start none."""
    parent, child = await here.run("1", state="failed"), await here.run("2")
    await here.ask("update runs set parent_run = $2 where id = $1", child, parent)
    await here.clean()
    assert await here.left() == [parent, child]
    await here.ask("update runs set abandoned_at = now() where id = $1", parent)
    await here.clean()
    assert await here.left() == [child]
    await here.clean()
    assert await here.left() == []


async def test_a_repeat_of_an_event_whose_run_was_removed_starts_nothing(here: Place) -> None:
    run_id = await here.run("1")
    await here.clean()
    [again] = await here.writer.submit(accept("1", "mill"))
    assert (again.new_runs, await here.left()) == ({}, [])
    [outcome] = again.outcomes[event_row("1").key]
    assert (outcome.fate, outcome.run_id) == ("ran", run_id)
    [told] = await here.ask("select fate, run_id from outcomes")
    assert tuple(told) == ("ran", run_id)


async def test_a_repeat_that_is_under_way_while_its_run_is_removed_starts_nothing(here: Place) -> None:
    """A transaction that cannot see the mark yet would not find the run either, were it gone."""
    await here.run("1")
    other = await asyncpg.connect(here.dsn)
    accepting = other.transaction()
    await accepting.start()
    await other.execute("select pg_current_xact_id()")
    impatient = replace(here.retention, clock=Hurried())
    done = await impatient.clean(MONTH, by="kim")
    assert (done["left"], done["pipelines"], len(await here.left())) == (1, [], 1)
    assert len(await here.ask(sql("outcomes_of"), [event_row("1").key])) == 1
    await accepting.rollback()
    await other.close()
    assert (await here.clean())["left"] == 0
    assert await here.left() == []


class Hurried(SystemClock):
    """A clock that waits for nobody."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@pytest.mark.parametrize("finished", [False, True], ids=["goes on", "has finished again"])
async def test_a_run_that_is_resumed_after_it_was_marked_stays(here: Place, finished: bool) -> None:
    run_id = await here.run("1", state="cancelled")
    async with removing(here.dsn) as removal:
        await removal.mark([run_id])
        await here.ask(sql("resume"), run_id, None, None, None, [])
        if finished:
            await here.ask("update runs set state = 'succeeded', ready_at = null, finished_at = now()")
        assert await removal.remove_marked() == []
        assert await removal.removing() == 0
    assert await here.left() == [run_id]
    await here.ask("update runs set state = 'succeeded', ready_at = null, finished_at = now() where id = $1", run_id)
    await here.clean()
    assert await here.left() == [run_id]


async def test_a_run_that_somebody_holds_is_left_for_the_next_time(here: Place) -> None:
    held, free = await here.run("1"), await here.run("2")
    other = await asyncpg.connect(here.dsn)
    async with removing(here.dsn) as removal:
        await removal.mark([held, free])
        async with other.transaction():
            await other.execute("select from runs where id = $1 for no key update", held)
            assert [row["id"] for row in await removal.remove_marked()] == [free]
    await other.close()
    await here.clean()
    assert await here.left() == []


async def test_old_runs_are_looked_for_a_stretch_at_a_time(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOOK", 2)
    for n in range(5):
        await here.run(str(n))
    kept = await here.run("young", days=1)
    await here.ask("update runs set queued_at = finished_at")
    await here.clean()
    assert await here.left() == [kept]


async def test_one_process_cleans_up_at_a_time(here: Place) -> None:
    async with removing(here.dsn):
        with pytest.raises(Conflict, match="another process"):
            await here.clean()
    await here.clean()


@pytest.mark.parametrize("at_once", [1, 1000])
async def test_old_events_are_forgotten_only_where_asked_and_once_their_runs_are_gone(
    here: Place, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(retention, "COUNT", at_once)
    policy = replace(MONTH, events_days=90)
    await here.run("gone", days=60)
    await here.run("kept", days=1)
    await here.writer.submit(Accept([event_row("nobody")], [], []))
    await here.ask("update events set accepted_at = now() - interval '100 days'")
    await here.writer.submit(Accept([event_row("young")], [], []))
    assert (await here.clean())["events"] == 0
    assert await count(here, "events") == 4
    plan = await here.plan(policy)
    done = await here.clean(policy)
    assert plan["events"] == done["events"] == 2
    assert {row["id"] for row in await here.ask("select id from events")} == {"kept", "young"}
    assert await count(here, "fates") == 0


async def test_a_coalesced_event_stays_with_the_run_it_is_in(here: Place) -> None:
    run_id = await here.run("1", days=1)
    row = event_row("also")
    await here.writer.submit(Accept([row], [], []))
    await here.ask(
        "insert into fates (event_key, pipeline, trigger, fate, reason, run_id)"
        " values ($1, 'mill', 't', 'coalesced', '', $2)",
        row.key,
        run_id,
    )
    await here.ask("update events set accepted_at = now() - interval '100 days'")
    assert (await here.clean(replace(MONTH, events_days=90)))["events"] == 0


async def test_the_books_are_right_where_a_run_is_gone_that_events_shared(here: Place) -> None:
    run_id = await here.run("1")
    row = event_row("also")
    await here.writer.submit(Accept([row], [], []))
    await here.ask(
        "insert into fates (event_key, pipeline, trigger, fate, reason, run_id, place)"
        " values ($1, 'mill', 't', 'coalesced', '', $2, 1)",
        row.key,
        run_id,
    )
    await here.clean()
    assert await here.left() == []
    assert "joined_runs" not in {kept.name async for kept in audit(here.dsn) if kept.breaches}
    await here.ask("delete from fates where fate = 'ran'")
    assert "joined_runs" in {kept.name async for kept in audit(here.dsn) if kept.breaches}


async def test_what_was_removed_is_put_on_record(here: Place) -> None:
    await here.attempt(await here.run("1"), "x")
    await here.clean()
    await here.writer.drained()
    entries = [entry for row in await here.ask("select entries from run_log") for entry in orjson.loads(row["entries"])]
    [entry] = [entry for entry in entries if entry["move"] == "cleaned"]
    assert (entry["by"], entry["pipelines"][0]["runs"], entry["days"]) == ("kim", 1, 30)
    await here.clean()
    await here.writer.drained()
    assert len(await here.ask("select from run_log")) == len(entries)


# Artifacts.


async def test_an_artifact_goes_in_two_steps_a_grace_apart(here: Place) -> None:
    digest = await here.attempt(await here.run("1"), "x")
    assert (await here.clean())["set_aside"]["artifacts"] == 0
    await here.age(2)
    assert (await here.clean())["set_aside"] == {"artifacts": 1, "size_bytes": LARGE}
    assert (await here.clean())["dropped"]["artifacts"] == 0
    await here.age(2)
    assert (await here.clean())["dropped"] == {"artifacts": 1, "size_bytes": LARGE}
    with pytest.raises(ArtifactMissing):
        await here.store.get(digest)


async def test_an_artifact_that_a_living_run_refers_to_stays(here: Place) -> None:
    digest = await here.attempt(await here.run("1"), "x")
    await here.attempt(await here.run("2", days=1), "x")
    for _ in range(3):
        await here.age(2)
        await here.clean()
    assert [one.digest async for one in here.store.stored()] == [digest]


async def test_a_put_between_the_look_and_the_setting_aside_loses_nothing(here: Place) -> None:
    """The store holds it already, so the put writes nothing; then it is set aside; then the row is committed."""
    digest = await here.attempt(await here.run("1"), "x")
    await here.age(2)
    between = replace(here.retention, store=Between(here.store, before_retire=lambda: here.store.put(b"x" * LARGE)))
    assert (await between.clean(MONTH, by="kim"))["set_aside"]["artifacts"] == 1
    await here.attempt(await here.run("2", days=0), None)
    await here.ask("update attempts set output_digest = $1, output_inline = null", digest)
    await here.age(2)
    done = await here.clean()
    assert (done["dropped"]["artifacts"], done["brought_back"]) == (0, 1)
    assert await here.store.get(digest) == b"x" * LARGE


async def test_a_put_between_the_look_and_the_dropping_loses_nothing(here: Place) -> None:
    digest = await here.attempt(await here.run("1"), "x")
    await here.age(2)
    await here.clean()
    await here.age(2)
    between = replace(here.retention, store=Between(here.store, before_drop=lambda: here.store.put(b"x" * LARGE)))
    assert (await between.clean(MONTH, by="kim"))["dropped"]["artifacts"] == 1
    assert await here.store.get(digest) == b"x" * LARGE


async def test_a_known_result_that_was_just_given_out_survives_the_removal_of_the_run_that_made_it(here: Place) -> None:
    """Looked up, its run removed, its artifact set aside; only then the run that takes it is written and reads it."""
    key = StageKey(uuid4().hex)
    digest = await here.attempt(await here.run("1"), "x", key=key)
    await here.age(2)
    [known] = await here.writer.submit(LookUp([key]))
    assert known[key].output.digest == digest
    done = await here.clean()
    assert (done["pipelines"][0]["runs"], done["set_aside"]["artifacts"]) == (1, 1)
    [known_no_more] = await here.writer.submit(LookUp([key]))
    assert known_no_more == {}
    assert await here.store.exists(digest)
    await here.attempt(await here.run("2", days=0), "x", key=key)
    for _ in range(3):
        await here.age(2)
        await here.clean()
    assert await here.store.get(digest) == b"x" * LARGE


async def test_a_known_result_taken_between_the_look_and_the_dropping_is_still_there(here: Place) -> None:
    """The driver asks the store whether it is there before it takes it: that brings it back in time, or says no."""
    digest = await here.attempt(await here.run("1"), "x")
    await here.age(2)
    await here.clean()
    await here.age(2)
    seen: list[bool] = []

    async def take() -> None:
        seen.append(await here.store.exists(digest))

    between = replace(here.retention, store=Between(here.store, before_drop=take))
    await between.clean(MONTH, by="kim")
    assert seen == [True]
    assert await here.store.get(digest) == b"x" * LARGE


async def test_a_run_that_takes_a_result_of_a_removed_run_refers_to_it_itself(here: Place) -> None:
    made = await here.run("1")
    digest = await here.attempt(made, "x")
    takes = await here.run("2", days=1)
    await here.attempt(takes, "x")
    await here.ask("update attempts set state = 'reused', reused_run = $2 where run_id = $1", takes, made)
    for _ in range(3):
        await here.age(2)
        await here.clean()
    assert await here.left() == [takes]
    assert await here.store.get(digest) == b"x" * LARGE


async def take_list(here: Place, run_id: int, results: list[ArtifactRef]) -> ArtifactRef:
    """The run takes a list of results whole, as from another run."""
    ref = await gather(results, here.store)
    await here.ask(
        "insert into attempts (run_id, stage, attempt, epoch, state, output_digest, output_codec, output_size,"
        " output_inline, started_at, finished_at) values ($1, 'all', 1, 1, 'reused', $2, $3, $4, $5, now(), now())",
        run_id,
        ref.digest,
        ref.codec,
        ref.size_bytes,
        ref.inline,
    )
    return ref


@pytest.mark.parametrize("items", [3, 120], ids=["in the row", "in the store"])
async def test_the_items_of_a_list_that_a_run_took_whole_stay(here: Place, items: int) -> None:
    made = [await here.store.put(b"%d" % number * LARGE) for number in range(items)]
    inner = await gather([ArtifactRef(digest, "raw", LARGE) for digest in made], here.store)
    await take_list(here, await here.run("1", days=1), [inner, ArtifactRef(digest_of(b"7"), "raw", 1, b"7")])
    unused = await here.store.put(b"unused" * LARGE)
    for _ in range(3):
        await here.age(2)
        await here.clean()
    kept = {one.digest async for one in here.store.stored()}
    assert set(made) <= kept
    assert unused not in kept
    await here.ask("delete from attempts")
    await here.age(2)
    assert (await here.clean())["set_aside"]["artifacts"] >= items


async def test_items_that_a_run_has_still_to_do_stay(here: Place) -> None:
    """They are in no row yet. What was there before the run began is taken to be nobody's."""
    before = await here.store.put(b"before" * LARGE)
    await here.age(20)
    item = await here.store.put(b"item" * LARGE)
    await here.age(10)
    run_id = await here.run("1", days=15, state="succeeded")
    await here.attempt(run_id, None)
    await here.ask("update attempts set item = 0")
    await here.ask("update runs set state = 'waiting', finished_at = null")
    await here.clean()
    assert [one.digest async for one in here.store.stored()] == [item]
    assert [one.digest async for one in here.store.set_aside()] == [before]
    await here.attempt(run_id, None)
    await here.clean()
    assert [one.digest async for one in here.store.stored()] == []


class Between:
    """A store in whose clean-up something happens at the worst moment."""

    def __init__(self, store: ArtifactStore, *, before_retire: Any = None, before_drop: Any = None) -> None:
        self._store = store
        self._before_retire = before_retire
        self._before_drop = before_drop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def retire(self, digest: str, at: datetime) -> None:
        if self._before_retire is not None:
            await self._before_retire()
        await self._store.retire(digest, at)

    async def drop(self, one: Any) -> None:
        if self._before_drop is not None:
            await self._before_drop()
        await self._store.drop(one)


async def columns_named(here: Place, pattern: str) -> Sequence[tuple[str, str]]:
    found = await here.ask(
        "select c.table_name, c.column_name from information_schema.columns c join information_schema.tables t"
        " on t.table_name = c.table_name and t.table_schema = c.table_schema and t.table_type = 'BASE TABLE'"
        " where c.table_schema = 'public' and c.column_name ~ $1 order by 1, 2",
        pattern,
    )
    return [(row["table_name"], row["column_name"]) for row in found]


async def test_every_table_that_belongs_to_a_run_is_cleaned(here: Place) -> None:
    """A new table with a `run_id` belongs into remove_runs.sql, or into this list with a reason."""
    # The mark of a removed run; a registered version keeps its run; a backfill tells how its ticks ended; who did what
    # is kept as long as retention.audit_days says.
    outlive_runs = {"fates", "model_versions", "backfill_ticks", "audit"}
    tables = {table for table, _ in await columns_named(here, "^run_id$")} - outlive_runs
    assert {table for table in tables if f"delete from {table} " not in sql("remove_runs")} == set()


async def test_every_column_that_may_refer_to_an_artifact_is_looked_at(here: Place) -> None:
    """A new one belongs into used_artifacts.sql and the others that name the same tables, or into this list."""
    of_outputs = {(table, "subject") for table in ("gates", "gate_votes", "gate_history", "gate_links")}
    looked_at = sql("used_artifacts") + sql("pinned_artifacts") + sql("lists_taken")
    known = await columns_named(here, "digest|artifact|lineage|report$|subject|chunk")
    # A token's own digest is no artifact's.
    known = [one for one in known if one not in of_outputs and one[0] not in ("events", "api_tokens")]
    assert [one for one in known if one[1] not in looked_at or one[0] not in looked_at] == []
