"""Reading what people and programs look at: runs, events, gates, triggers, models, daemons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, cast
from uuid import UUID

import asyncpg
import orjson

from service.db.envelopes import whole_event
from service.db.failures import errors_of
from service.db.parts import AT_ONCE
from service.db.pauses import Pauses
from service.db.reads import Reads
from service.db.replays import effects_of, replays_of
from service.db.results import output_of
from service.db.run_detail import GateRows, StageRows, event_name, run_base, run_detail
from service.db.waits import blocking_of, is_ready, limits_in, waits_of
from service.fates import strongest
from service.shapes.answers import (
    EventFate,
    EventsPage,
    EventSummary,
    OutcomeShape,
    RunDetail,
    RunEventShape,
    RunEventsPage,
    RunsPart,
    RunSummary,
)
from service.shapes.models import AliasesPage, AliasShape, ModelsAnswer, ModelSummary, VersionShape
from service.shapes.now import PeopleWait
from service.shapes.replays import ReplayOf
from service.shapes.system import DaemonShape, DatabaseShape, PoolShape, SinkShape
from service.words.fates import told
from stages.artifacts import ArtifactRef
from stages.pipeline import Pipeline
from triggers.base import Fate
from triggers.event import FIRED_BY, Event

Row: TypeAlias = asyncpg.Record

# Each may hold as much evidence as `stages.gates.evidence` allows.
MOST_FINDINGS = 200
# Of a mapped stage: attempts that are under way or went wrong.
MOST_ITEMS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedEvents:
    """Which events. `kind` is a CloudEvents type or how it begins, up to a dot. `pause` goes with `paused` alone.

    No index finds events by anything but a rare fate: give `first`, a place to stop at, with the rest. `since` and
    `until`, when a rare fate was decided, go with those.
    """

    kind: str | None = None
    source: str | None = None
    fate: Fate | None = None
    pause: int | None = None
    pipeline: str | None = None
    trigger: str | None = None
    text: str | None = None
    first: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_rare(self) -> bool:
        """Whether they are listed by their fate."""
        return self.fate not in (None, Fate.RAN, Fate.COALESCED, Fate.IGNORED)


class Views:
    """Every call may raise `DatabaseUnavailable`. Lists are paged by key, newest first."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def runs(
        self,
        *,
        pipeline: str | None = None,
        state: str | None = None,
        event: UUID | None = None,
        tags: Sequence[str] = (),
        before: int | None = None,
        limit: int,
        first: int | None = None,
        trigger: str | None = None,
        text: str | None = None,
        among: Sequence[int] | None = None,
    ) -> RunsPart:
        """Runs below the id `before` and from `first` on that have all of `tags`; `text` is part of their event's name,
        their trigger or tags. No index helps with trigger and text, nor with tags unless those that have them are given
        (`among`): give `first` with them.
        """
        # Told twice who they are, the planner reads them all to sort them.
        having = orjson.dumps(list(tags)).decode() if tags and among is None else None
        rows = await self._reads.fetch(
            "list_runs", pipeline, state, event, before, limit, having, first, trigger, text, among
        )
        waits, errors = await waits_of(self._reads, rows), await errors_of(self._reads, rows)
        runs: list[RunSummary] = [
            {
                **run_base(row),
                "event": event_name(row),
                "error": errors.get(row["id"]),
                "waits_for": waits.get(row["id"]),
            }
            for row in rows
        ]
        return {"runs": runs, "next": rows[-1]["id"] if len(rows) == limit else None}

    async def sinks(self, names: Sequence[str]) -> list[SinkShape]:
        """How far each of these sinks has got, and what holds it up."""
        return [_sink(row) for row in (await self._reads.fetch("list_sinks", list(names)) if names else ())]

    async def reviews_open(self) -> int:
        """How many failed runs wait for a person."""
        [row] = await self._reads.fetch("count_reviews")
        return cast("int", row["reviews"])

    async def people_wait(self) -> PeopleWait:
        """How much waits for a person."""
        [row] = await self._reads.fetch("people_wait")
        return {"gates": row["gates"], "reviews": row["reviews"]}

    async def run(self, run_id: int, loaded: Mapping[str, Pipeline] | None = None) -> RunDetail | None:
        """A run with all that happened in it, or None. What to do next goes by the pipelines that are `loaded`."""
        row = await self._reads.row("show_run", run_id)
        if row is None:
            return None
        attempts = await self._reads.fetch("show_attempts", run_id, MOST_ITEMS)
        items = await self._reads.fetch("show_items", run_id)
        costs = await self._reads.fetch("show_costs", run_id)
        caused = await self._reads.fetch("story_caused", run_id)
        actions = await self._reads.fetch("story_actions", run_id)
        gates = await self._reads.fetch("show_gates", run_id)
        votes = await self._reads.fetch("show_votes", run_id) if gates else []
        history = await self._reads.fetch("show_gate_history", run_id, MOST_FINDINGS)
        blocking = (await blocking_of(self._reads, [(row, limits_in(row))])).get(row["id"]) if is_ready(row) else None
        stages = StageRows(attempts, items, costs, caused, actions)
        pipeline = (loaded or {}).get(row["pipeline"])
        version = row["version"] if pipeline is None else pipeline.version
        shown = run_detail(row, stages, GateRows(gates, votes, history), blocking, version)
        shown["event"]["cloudevent"] = self._reads.shown(row["envelope"])
        shown["effects"] = await effects_of(self._reads, run_id)
        return shown

    async def run_state(self, run_id: int) -> str | None:
        """Where a run stands, or None when there is none."""
        row = await self._reads.row("run_state", run_id)
        return None if row is None else cast("str", row["state"])

    async def run_states(self, run_ids: Sequence[int]) -> Mapping[int, str]:
        """Where each of these runs stands."""
        rows = await self._reads.fetch("run_states", list(run_ids)) if run_ids else []
        return {row["id"]: row["state"] for row in rows}

    async def events(self, wanted: WantedEvents, *, before: int | None, limit: int) -> EventsPage:
        """Those below the place `before`; of a rare fate, those after it in the order in which that was decided.

        `next` tells where to look on, also where fewer were found in what was looked through.
        """
        if wanted.is_rare:
            return await self._events_by_fate(wanted, before, limit)
        rows = await self._reads.fetch(
            "list_events",
            *(wanted.kind, wanted.source, before, limit, wanted.fate, wanted.first, wanted.text),
            *(wanted.pipeline, wanted.trigger),
        )
        events: list[EventSummary] = [_event_summary(row) for row in rows]
        return {"events": events, "next": rows[-1]["seq"] if len(rows) == limit else None}

    async def _events_by_fate(self, wanted: WantedEvents, before: int | None, limit: int) -> EventsPage:
        times = (wanted.since, wanted.until)
        rows = await self._reads.fetch(
            "list_events_by_fate",
            *(wanted.kind, wanted.source, wanted.fate, before, limit, wanted.pause, *times),
            *(wanted.pipeline, wanted.trigger, wanted.text, AT_ONCE),
        )
        events: list[EventSummary] = [_event_summary(row) for row in rows]
        if len(rows) == limit:
            return {"events": events, "next": rows[-1]["seq"]}
        ended = await self._reads.row("look_on_by_fate", wanted.fate, before, wanted.pause, *times, AT_ONCE)
        return {"events": events, "next": None if ended is None else ended["seq"]}

    async def run_at(self, at: datetime | None) -> tuple[int, int]:
        """The number of the first run that was queued at an instant or later, and the one behind the last."""
        [row] = await self._reads.fetch("run_at", at)
        return row["place"], row["behind"]

    async def event_at(self, at: datetime | None) -> tuple[int, int]:
        """The place of the first event that was accepted at an instant or later, and the one behind the last."""
        [row] = await self._reads.fetch("seq_at", at)
        return row["seq"], row["behind"]

    async def events_called(self, key: UUID | None, event_id: str) -> EventsPage:
        """The event with this key, or the newest with this id."""
        rows = await self._reads.fetch("show_events", key, event_id)
        return {"events": [_event_summary(row) for row in rows], "next": None}

    async def event(self, key: UUID | None, event_id: str) -> EventFate | None:
        """The event with this key, or the newest with this id, or None."""
        rows = await self._reads.fetch("show_events", key, event_id)
        if not rows:
            return None
        chosen = next((row for row in rows if row["key"] == key), rows[0])
        replays = await replays_of(self._reads, chosen["key"])
        envelope = self._reads.shown(chosen["envelope"])
        return _event_fate(chosen, envelope, [row for row in rows if row is not chosen], replays)

    async def stored_event(self, key: UUID) -> Mapping[str, Any] | None:
        """The CloudEvent accepted under a key, as it is shown."""
        row = await self._reads.row("envelope_of", key)
        return None if row is None else self._reads.shown(row["envelope"])

    async def event_itself(self, key: UUID) -> Event | None:
        """The event accepted under a key, with its secrets: to be run again, not to be shown."""
        row = await self._reads.row("envelope_of", key)
        return None if row is None else whole_event(row["envelope"])

    async def run_events(self, run_id: int, *, after: int | None, limit: int) -> RunEventsPage:
        """The events that share a run, in the order in which they were accepted."""
        first = 0 if after is None else after + 1
        rows = await self._reads.fetch("run_events", run_id, first, limit)
        events = [run_event(row, self._reads.shown(row["envelope"])) for row in rows]
        return {"run": run_id, "events": events, "next": rows[-1]["place"] if len(rows) == limit else None}

    async def pauses(self) -> Pauses:
        """What is paused."""
        return Pauses.read(await self._reads.fetch("standing_pauses"))

    async def trigger_statuses(self) -> Sequence[Mapping[str, Any]]:
        """What listeners of living processes said last, each with `reported_at` and its `daemon`."""
        rows = await self._reads.fetch("list_trigger_statuses")
        at = ("reported_at", "daemon")
        return [{**orjson.loads(row["status"]), **{name: row[name] for name in at}} for row in rows]

    async def triggers_seen(self) -> Mapping[str, datetime]:
        """When each trigger last saw something, by binding, as far as any process has told."""
        return {row["binding"]: row["last_seen_at"] for row in await self._reads.fetch("list_trigger_seen")}

    async def watches(self) -> Mapping[str, Row]:
        """What is waited for, by binding: `expect_every_s`, `last_seen_at`, and `silent_since`."""
        return {row["binding"]: row for row in await self._reads.fetch("all_watches")}

    async def stopping(self) -> Mapping[tuple[str, str], Sequence[int]]:
        """Failed and cancelled runs that others of their sequence wait behind, by pipeline and trigger."""
        return {(row["pipeline"], row["trigger"]): row["runs"] for row in await self._reads.fetch("stopping")}

    async def pipelines(self, loaded: Iterable[str], *, after: str | None = None, limit: int) -> list[str]:
        """Names of pipelines behind `after`: of those that are `loaded` here or were anywhere."""
        return [row["name"] for row in await self._reads.fetch("known_pipelines", after, limit, list(loaded))]

    async def models(self, *, after: str | None = None, limit: int) -> ModelsAnswer:
        """Models behind the name `after`, in their order."""
        models = [_model(row) for row in await self._reads.fetch("list_models", after, limit)]
        return {"models": models, "next": models[-1]["model"] if len(models) == limit else None}

    async def model(self, name: str) -> ModelSummary | None:
        """The model of this name, or None."""
        row = await self._reads.row("show_model", name)
        return None if row is None else _model(row)

    async def aliases(self, model: str, *, after: str | None, limit: int) -> AliasesPage:
        """Aliases of a model behind the name `after`."""
        rows = await self._reads.fetch("list_aliases", model, after, limit)
        aliases: list[AliasShape] = [{"alias": row["alias"], "version": row["version"]} for row in rows]
        return {"model": model, "aliases": aliases, "next": rows[-1]["alias"] if len(rows) == limit else None}

    async def versions(self, model: str, *, before: int | None, limit: int) -> list[VersionShape]:
        """Versions of a model below `before`."""
        return [version_shape(row) for row in await self._reads.fetch("list_versions", model, before, limit)]

    async def version(self, model: str, version: int) -> VersionShape | None:
        """One version, or None."""
        row = await self._reads.row("show_version", model, version)
        return None if row is None else version_shape(row)

    async def artifact(self, run_id: int, digest: str) -> tuple[str, ArtifactRef] | None:
        """The stage that made an artifact in this run, and how to read it."""
        row = await self._reads.row("artifact_of_run", run_id, digest)
        return None if row is None else (row["stage"], output_of(row))

    async def unfinished(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """How many runs there are of each pipeline in each state that is not an end, and how many of them are late."""
        rows = await self._reads.fetch("count_runs")
        return {(row["pipeline"], row["state"]): (row["runs"], row["late"]) for row in rows}

    async def pools(self) -> list[PoolShape]:
        """Every pool, and how much of it is taken."""
        return [cast("PoolShape", dict(row)) for row in await self._reads.fetch("list_pools")]

    async def daemons(self) -> list[DaemonShape]:
        """The processes alive, and those of the last hour."""
        return [cast("DaemonShape", dict(row)) for row in await self._reads.fetch("list_daemons")]

    async def database(self) -> DatabaseShape:
        """The server's clock, version and size."""
        [row] = await self._reads.fetch("database_time")
        return cast("DatabaseShape", dict(row))


def _model(row: Row) -> ModelSummary:
    aliases = orjson.loads(row["aliases"] or "{}")
    return {"model": row["model"], "versions": row["latest"], "latest": row["latest"], "aliases": aliases}


def version_shape(row: Row) -> VersionShape:
    """A row of `model_versions` with its aliases."""
    return {
        "model": row["model"],
        "version": row["version"],
        "state": row["state"],
        "artifacts": orjson.loads(row["artifacts"]),
        "metrics": orjson.loads(row["metrics"]),
        "lineage": orjson.loads(row["lineage"]),
        "run_id": row["run_id"],
        "pipeline": row["pipeline"],
        "created_at": row["created_at"],
        "aliases": list(row["aliases"] or ()),
    }


def run_event(row: Row, cloudevent: dict[str, Any]) -> RunEventShape:
    """A row of `run_events.sql`, with its event as it is shown."""
    return {
        **event_name(row, id_column="id", key_column="key"),
        "place": row["place"],
        "occurred_at": row["occurred_at"],
        "accepted_at": row["accepted_at"],
        "cloudevent": cloudevent,
    }


def _event_summary(row: Row) -> EventSummary:
    outcomes: list[OutcomeShape] = orjson.loads(row["outcomes"])
    return {
        **event_name(row, id_column="id", key_column="key"),
        "seq": row["seq"],
        "occurred_at": row["occurred_at"],
        "accepted_at": row["accepted_at"],
        "fate": _strongest(outcomes),
        "outcomes": outcomes,
    }


def _event_fate(row: Row, envelope: dict[str, Any], others: Sequence[Row], replays: list[ReplayOf]) -> EventFate:
    outcomes: list[OutcomeShape] = orjson.loads(row["outcomes"])
    return {
        **event_name(row, id_column="id", key_column="key"),
        "occurred_at": row["occurred_at"],
        "accepted_at": row["accepted_at"],
        "cloudevent": envelope,
        "fate": _strongest(outcomes),
        "told": _made_by(envelope) + told(outcomes, replays),
        "outcomes": outcomes,
        "replays": replays,
        "others": [event_name(other, id_column="id", key_column="key") for other in others],
    }


def _made_by(envelope: Mapping[str, Any]) -> str:
    """Who made the event, where a person did: before what became of it."""
    by = envelope.get(FIRED_BY)
    return f"Fired by {by}: " if by else ""


def _strongest(outcomes: Sequence[OutcomeShape]) -> str:
    return strongest(Fate(one["fate"]) for one in outcomes).value


def _sink(row: Row) -> SinkShape:
    waiting = row["waiting_since"]
    return {
        "name": row["name"],
        "delivered": row["delivered"],
        "refused": row["refused"],
        "lag_s": 0.0 if waiting is None else max(0.0, (row["now"] - waiting).total_seconds()),
        "moved_at": row["moved_at"],
        "failing_since": row["failing_since"],
        "note": row["note"],
    }
