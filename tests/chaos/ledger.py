"""The verdict: what the sources, the database, the artifacts and the world outside say, held against each other.

Shares nothing with the code under test but the database and the format of what is in it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import asyncpg
import orjson

STAGES = {"shared": ("take",), "batched": ("fold",), "ordered": ("fold",)}
CHAIN = ("take", "make", "publish")
MOST_TOLD = 20

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared. `records` are, of each topic and partition, the numbers of its records in their order."""

    acknowledged: Mapping[str, Sequence[str]]
    records: Mapping[str, Mapping[int, Sequence[int]]]
    outcomes: Sequence[Row]
    runs: Mapping[int, Row]
    attempts: Sequence[Row]
    effects: Sequence[Row]
    artifacts: Path


async def gather(
    dsn: str,
    effects: str,
    acknowledged: Mapping[str, Sequence[str]],
    records: Mapping[str, Mapping[int, Sequence[int]]],
    artifacts: Path,
) -> Sides:
    """Read all of it."""
    query = """
        select e.id, e.source, o.pipeline, o.fate, o.run_id, convert_from(e.envelope, 'utf8')::json -> 'data' as data
        from events e left join outcomes o on o.event_key = e.key"""
    outcomes = await _rows(dsn, query)
    runs = {row["id"]: row for row in await _rows(dsn, "select * from runs")}
    done = "select * from attempts where state in ('succeeded', 'reused') and void is null"
    told = await _rows(effects, "select * from effects order by id")
    return Sides(acknowledged, records, outcomes, runs, await _rows(dsn, done), told, artifacts)


def verdict(sides: Sides) -> list[str]:
    """Everything that is wrong, in words; empty: nothing is."""
    checks = (_accepted, _ticks, _records, _ended, _effects, _batches, _order, _artifacts)
    return [wrong for check in checks for wrong in _first(check(sides))]


def _first(wrongs: Iterator[str]) -> Iterator[str]:
    for number, wrong in enumerate(wrongs):
        if number == MOST_TOLD:
            yield "... and more of this kind"
            return
        yield wrong


def _accepted(sides: Sides) -> Iterator[str]:
    """Whatever was acknowledged is one event with one fate, and that is a run; nothing else is there."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in sides.outcomes:
        found[row["pipeline"], _name_of(row)].append(row)
    for pipeline, ids in sides.acknowledged.items():
        for event_id in ids:
            rows = found.get((pipeline, event_id), [])
            if len(rows) != 1:
                yield f"{pipeline}: {event_id} was acknowledged, and is {len(rows)} events"
            elif rows[0]["fate"] not in ("ran", "coalesced"):
                yield f"{pipeline}: {event_id} was acknowledged, and its fate is {rows[0]['fate']}"
    for (pipeline, event_id), rows in found.items():
        if len(rows) > 1:
            yield f"{pipeline}: {event_id} is {len(rows)} events"


def _name_of(row: Row) -> str:
    if row["pipeline"] == "landed":
        return str(orjson.loads(row["data"])["relative_path"])
    return str(row["id"])


def _ticks(sides: Sides) -> Iterator[str]:
    """The clock ticked every second from the first tick to the last, once each."""
    ticks = sorted(orjson.loads(row["data"])["due_at"] for row in sides.outcomes if row["pipeline"] == "ticked")
    seconds = [_second_of(tick) for tick in ticks]
    for before, after in pairwise(seconds):
        if after != before + 1:
            yield f"ticks: {after} follows {before}"


def _second_of(due_at: str) -> int:
    return int(datetime.fromisoformat(due_at).timestamp())


def _records(sides: Sides) -> Iterator[str]:
    """Each record of the topic of arrivals is one event."""
    told = Counter(
        (data["partition"], data["offset"])
        for data in (_kafka_of(row) for row in sides.outcomes if row["pipeline"] == "arrived")
    )
    there = [(at, offset) for at, numbers in sides.records["arrivals"].items() for offset in range(len(numbers))]
    for place in there:
        if told.pop(place, 0) != 1:
            yield f"arrivals: the record at {place} is not one event"
    for place, count in told.items():
        yield f"arrivals: {count} events of a record that is not there, {place}"


def _kafka_of(row: Row) -> dict[str, int]:
    partition, offset = str(row["id"]).split("/")
    return {"partition": int(partition), "offset": int(offset)}


def _ended(sides: Sides) -> Iterator[str]:
    """Every run has succeeded: nothing here may fail for good."""
    for row in sides.runs.values():
        if row["state"] != "succeeded":
            yield f"run {row['id']} of {row['pipeline']} is {row['state']}: {row['failure']}"


def _effects(sides: Sides) -> Iterator[str]:
    """Each stage of each run worked, under one key that no other shares; and nobody worked for a run that is not."""
    keys: dict[tuple[int, str], set[str]] = defaultdict(set)
    owners: dict[str, tuple[int, str]] = {}
    for row in sides.effects:
        place = (row["run_id"], row["stage"])
        keys[place].add(row["key"])
        if owners.setdefault(row["key"], place) != place:
            yield f"the key {row['key']} is that of {place} and of {owners[row['key']]}"
    for place, found in keys.items():
        if len(found) > 1:
            yield f"{place} worked under {len(found)} keys"
        if place[0] not in sides.runs:
            yield f"{place} worked for a run that does not exist"
    done = {(row["run_id"], row["stage"]) for row in sides.attempts}
    for run in sides.runs.values():
        for stage in STAGES.get(run["pipeline"], CHAIN):
            if (run["id"], stage) not in done or (run["id"], stage) not in keys:
                yield f"run {run['id']} of {run['pipeline']} succeeded without {stage}"


def _batches(sides: Sides) -> Iterator[str]:
    """Every offset is in one batch of each pipeline, which saw the records that are there."""
    for pipeline in ("batched", "ordered"):
        told: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in sides.attempts:
            if sides.runs[row["run_id"]]["pipeline"] == pipeline:
                output = orjson.loads(row["output_inline"])
                told[output["partition"]].append(output)
        for partition, numbers in sides.records["batches"].items():
            sums = [0, *accumulate(numbers)]
            following = 0
            for one in sorted(told[partition], key=lambda one: int(one["first"])):
                if one["first"] != following:
                    yield f"{pipeline}: a batch of partition {partition} begins at {one['first']}, not at {following}"
                if one["sum"] != sums[one["last"] + 1] - sums[one["first"]]:
                    yield f"{pipeline}: the batch of partition {partition} at {one['first']} saw other records"
                following = one["last"] + 1
            if following != len(numbers):
                yield f"{pipeline}: partition {partition} has {len(numbers)} records, and batches of {following}"


def _order(sides: Sides) -> Iterator[str]:
    """No ordered batch began before the one before it had ended, and none began again after that.

    A process that was suspended past its lease may wake up in a stage whose run others have brought to its end: what it
    still does outside has the key of what was done, by which the world outside knows it. That is no batch.
    """
    recorded = {row["run_id"]: row["finished_at"] for row in sides.attempts}
    reached: dict[str, int] = {}
    ended: dict[str, int] = {}
    for row in sides.effects:
        by = recorded.get(row["run_id"])
        if row["pipeline"] != "ordered" or (by is not None and row["at"] > by):
            continue
        partition, first, what = row["detail"].split()
        if what == "ends":
            ended[partition] = int(first)
            continue
        before = reached.get(partition, -1)
        if int(first) < before or (int(first) > before != -1 and ended.get(partition) != before):
            yield f"ordered: {row['detail']} after {before}, ended {ended.get(partition)}"
        reached[partition] = int(first)


def _artifacts(sides: Sides) -> Iterator[str]:
    """What a finished stage returned is kept, and is what its digest says."""
    files = {path.name: path for path in sides.artifacts.rglob("*") if path.is_file()}
    for row in sides.attempts:
        kept = row["output_inline"]
        if kept is None:
            found = files.get(row["output_digest"])
            kept = b"" if found is None else found.read_bytes()
        if hashlib.blake2b(kept, digest_size=32).hexdigest() != row["output_digest"]:
            yield f"run {row['run_id']}: the output of {row['stage']} is not {row['output_digest']}"


async def _rows(dsn: str, query: str) -> list[Row]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()
