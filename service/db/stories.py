"""Reading runs whole: everything that is on record of one, for `explain`, `diff` and the report."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from service.db.connect import columns
from service.db.reads import Reads
from service.db.results import metrics_of
from service.db.rows import Row
from service.report import Around, ReportModel, ReportRelative
from service.story import SharedEvent, Story, StoryAction, StoryAttempt, StoryGate, StoryVote
from stages.artifacts import ArtifactRef
from stages.secret_params import masked
from triggers.coalesce import MOST_EVENTS
from triggers.replay import carried_by, original_of


class Stories:
    """Every call may raise `DatabaseUnavailable`."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def story(self, run_id: int) -> Story | None:
        """A run with its attempts, gates, actions and definitions, or None."""
        row = await self._reads.row("story_run", run_id)
        if row is None:
            return None
        more = await self._reads.fetch("run_events", run_id, 1, MOST_EVENTS) if (row["gathered"] or 1) > 1 else []
        parts = ("story_attempts", "show_gates", "story_votes", "story_actions")
        attempts, gates, votes, actions = await asyncio.gather(*(self._reads.fetch(part, run_id) for part in parts))
        versions = sorted({row["version"], *(one["version"] for one in attempts if one["version"])})
        definitions = await self._reads.fetch("story_definitions", row["pipeline"], versions)
        told = _story(row, self._reads.shown(row["envelope"]), attempts, gates, definitions)
        done = [StoryAction(**{**dict(one), "detail": orjson.loads(one["detail"])}) for one in actions]
        shared = [_shared(one, self._reads.shown(one["envelope"])) for one in more]
        return replace(told, shared=shared, votes=[_vote(one) for one in votes], actions=done)

    async def before(self, run: Story) -> int | None:
        """The run of the same pipeline that was begun before this one."""
        row = await self._reads.row("run_before", run.pipeline, run.id)
        return None if row is None else row["id"]

    async def around(self, run: Story) -> Around:
        """The runs it caused and the model versions it registered."""
        caused = await self._reads.fetch("story_caused", run.id)
        models = await self._reads.fetch("story_models", run.id)
        return Around(caused=[_relative(row) for row in caused], models=[_model(row) for row in models])

    async def in_review(self, *, pipeline: str | None = None, before: int | None = None, limit: int) -> list[Story]:
        """Failed runs that wait for a person, newest first, without votes and what else people did to them."""
        runs = await self._reads.fetch("list_reviews", pipeline, before, limit)
        ids = [row["id"] for row in runs]
        attempts = _by_run(await self._reads.fetch("review_attempts", ids))
        gates = _by_run(await self._reads.fetch("review_gates", ids))
        places = sorted(_made_with(runs, attempts))
        definitions = await self._reads.fetch("review_definitions", *columns(places, 2))
        found = []
        for row in runs:
            of_pipeline = [one for one in definitions if one["name"] == row["pipeline"]]
            written = self._reads.shown(row["envelope"])
            found.append(_story(row, written, attempts.get(row["id"], ()), gates.get(row["id"], ()), of_pipeline))
        return found


def _shared(row: Row, event: Mapping[str, Any]) -> SharedEvent:
    return SharedEvent(key=str(row["key"]), accepted_at=row["accepted_at"], cloudevent=event)


def _made_with(runs: Sequence[Row], attempts: Mapping[int, Sequence[Row]]) -> set[tuple[str, str]]:
    """Every pipeline and version by which anything in these runs was made."""
    found = {(row["pipeline"], row["version"]) for row in runs}
    for row in runs:
        found |= {(row["pipeline"], one["version"]) for one in attempts.get(row["id"], ()) if one["version"]}
    return found


def _by_run(rows: Sequence[Row]) -> Mapping[int, Sequence[Row]]:
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["run_id"], []).append(row)
    return grouped


def _story(
    row: Row, written: Mapping[str, Any], attempts: Sequence[Row], gates: Sequence[Row], definitions: Sequence[Row]
) -> Story:
    plain = ("id", "pipeline", "version", "trigger", "state", "accepted_at", "queued_at", "started_at", "finished_at")
    ends = ("cancelled_by", "abandoned_at", "abandoned_by", "abandon_reason", "due_at", "late_at")
    causes = ("cause_run", "cause_stage", "parent_run")
    known = {one["version"]: orjson.loads(one["definition"]) for one in definitions}
    secret = [path for one in known.values() for path in one.get("secret_params", ())]
    return Story(
        **{name: row[name] for name in (*plain, *ends, *causes)},
        params=masked(orjson.loads(row["params"]), secret),
        tags=orjson.loads(row["tags"]),
        event_key=str(row["event_key"]),
        event=original_of(written),
        carried=carried_by(written),
        failure=_document(row["failure"]),
        attempts=[story_attempt(one, row["version"]) for one in attempts],
        gates=[_gate(one) for one in gates],
        definitions=known,
    )


def story_attempt(row: Row, version: str) -> StoryAttempt:
    """An attempt's row. One of before versions were kept with attempts is taken for one of the run's `version`."""
    made = row["output_digest"] is not None
    return StoryAttempt(
        **{name: row[name] for name in ("stage", "item", "attempt", "state", "void", "reason", "transient")},
        **{name: row[name] for name in ("reused_run", "child_run", "made_at", "started_at", "finished_at", "retry_at")},
        version=row["version"] or version,
        key=str(row["key"]) if row["key"] else None,
        output=ArtifactRef(row["output_digest"], row["output_codec"], row["output_size"]) if made else None,
        metrics=metrics_of(row),
        error=_document(row["failure"]),
    )


def _gate(row: Row) -> StoryGate:
    return StoryGate(
        name=row["gate"],
        evidence=orjson.loads(row["evidence"]),
        **{name: row[name] for name in ("source", "target", "state", "reason", "subject", "decided_by", "decided_at")},
    )


def _vote(row: Row) -> StoryVote:
    event = str(row["event_key"]) if row["event_key"] else None
    return StoryVote(
        event=event, **{name: row[name] for name in ("gate", "subject", "by", "role", "decision", "reason", "at")}
    )


def _relative(row: Row) -> ReportRelative:
    return {
        "run": row["id"],
        "pipeline": row["pipeline"],
        "state": row["state"],
        "stage": row["cause_stage"],
        "waited_for": row["waited_for"],
    }


def _model(row: Row) -> ReportModel:
    return {
        "model": row["model"],
        "version": row["version"],
        "state": row["state"],
        "aliases": list(row["aliases"] or ()),
        "artifacts": orjson.loads(row["artifacts"]),
        "metrics": orjson.loads(row["metrics"]),
        "lineage": orjson.loads(row["lineage"]),
        "created_at": row["created_at"],
    }


def _document(stored: bytes | None) -> Any:
    return orjson.loads(stored) if stored else None
