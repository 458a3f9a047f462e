"""What must hold after a cell, by the database, the artifacts and the file in which the stages left their lines."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.db.ledger import audit
from tests.db.writing import rows

Row = Mapping[str, Any]
OUTCOMES = "select e.source, e.type, e.id, o.pipeline, o.fate from events e left join outcomes o on o.event_key = e.key"
# Pipelines for which there is always one more event.
GO_ON = ("ticked", "endless", "recorded")
REMOVED = "select from events_removed where until is not null"
DONE = "select * from attempts where state in ('succeeded', 'reused') and void is null"


async def wrongs(dsn: str, folder: Path, ends: Sequence[str], acknowledged: Sequence[str]) -> list[str]:
    """Everything that is wrong, in words."""
    # In this order: what goes on meanwhile has worked before its result is there, and is a run before it works.
    done, lines = await rows(dsn, DONE), _lines(folder / "effects")
    runs, outcomes = await rows(dsn, "select * from runs"), await rows(dsn, OUTCOMES)
    found = [f"{kept.promise}: {one}" async for kept in audit(dsn) for one in kept.breaches]
    found += _accepted(outcomes, acknowledged)
    found += _ended(runs, ends)
    found += _effects(lines, runs, done, removed=bool(await rows(dsn, REMOVED)))
    found += _artifacts(folder / "store", done)
    return found


def _accepted(outcomes: Sequence[Row], acknowledged: Sequence[str]) -> Iterator[str]:
    """Each event that was acknowledged is there once, and has one fate in each pipeline."""
    places = Counter((row["source"], row["type"], row["id"], row["pipeline"]) for row in outcomes)
    for place, count in places.items():
        if count > 1:
            yield f"{place} has {count} fates"
    there = {(kind, event_id) for _, kind, event_id, _ in places}
    for told in acknowledged:
        kind, _, event_id = told.partition(" ")
        if (f"matrix.{kind}", event_id) not in there:
            yield f"{told} was acknowledged, and is no event"


def _ended(runs: Sequence[Row], ends: Sequence[str]) -> Iterator[str]:
    for run in runs:
        goes_on = run["pipeline"] in GO_ON and run["state"] in ("queued", "running", "waiting")
        if run["state"] not in ends and not goes_on:
            yield f"run {run['id']} of {run['pipeline']} is {run['state']}: {run['failure']}"


def _lines(file: Path) -> list[list[str]]:
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def _effects(
    lines: Sequence[Sequence[str]], runs: Sequence[Row], done: Sequence[Row], *, removed: bool
) -> Iterator[str]:
    """Whatever has a result was worked for, under one key; and nobody worked for a run that is not."""
    known = {str(run["id"]) for run in runs}
    mapped = {(str(one["run_id"]), one["stage"]) for one in done if one["item"] >= 0}
    keys: dict[tuple[str, str], set[str]] = {}
    for run_id, _, stage, key, *_ in lines:
        keys.setdefault((run_id, stage), set()).add(key)
        if run_id not in known and not removed:
            yield f"stage {stage} worked for run {run_id}, which is not there"
    for one in done:
        place = (str(one["run_id"]), one["stage"])
        if one["state"] == "succeeded" and place not in keys and one["item"] == -1:
            yield f"stage {place} succeeded without having worked"
        if len(keys.get(place, ())) > 1 and place not in mapped:
            yield f"stage {place} worked under {len(keys[place])} keys"


def _artifacts(store: Path, done: Sequence[Row]) -> Iterator[str]:
    """Nothing is recorded that is not in the store."""
    there = {path.name[-32:]: path for path in store.rglob("*") if path.is_file()}
    for one in done:
        kept = one["output_inline"]
        if kept is None and one["output_digest"] is not None:
            found = there.get(one["output_digest"][-32:])
            kept = found.read_bytes() if found else b""
        if kept is not None and hashlib.blake2b(kept, digest_size=32).hexdigest() != one["output_digest"]:
            yield f"run {one['run_id']}: the output of {one['stage']} is not in the store"
