"""A run as people see it, put together from its rows and the definition of its pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg
import orjson

from service.db.envelopes import heard_event
from service.db.stage_detail import PENDING, seconds, stage_shapes
from service.db.waits import is_ready, place, sub_runs, told_at_once
from service.shapes.answers import (
    AbandonedShape,
    ActionShape,
    CausedShape,
    EventName,
    RunBase,
    RunDetail,
    StageShape,
)
from service.shapes.gates import CANCELLED, FindingShape, GateShape, VoteShape
from service.shapes.replays import ReplayShape
from stages.secret_params import masked
from triggers.cloudevents import restore
from triggers.event import REPLAY
from triggers.replay import SHADOW_TRIGGER, again, replayed

Row: TypeAlias = asyncpg.Record


@dataclass(frozen=True, slots=True)
class StageRows:
    """What is on record of the stages of a run: attempts, how many items stand where, what stages cost, the runs they
    caused, and what people did."""

    attempts: Sequence[Row]
    items: Sequence[Row]
    costs: Sequence[Row]
    caused: Sequence[Row]
    actions: Sequence[Row]


@dataclass(frozen=True, slots=True)
class GateRows:
    """What is on record of the gates of a run: the latest of each, the votes about it, and what was before."""

    gates: Sequence[Row]
    votes: Sequence[Row]
    history: Sequence[Row]


def run_base(row: Row) -> RunBase:
    """What is told of a run in a list and alone. A run that is not finished has lasted until now."""
    return {
        "id": row["id"],
        "pipeline": row["pipeline"],
        "version": row["version"],
        "trigger": row["trigger"],
        "tags": orjson.loads(row["tags"]),
        "state": row["state"],
        "queued_at": row["queued_at"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "ready_at": row["ready_at"] if row["state"] == "waiting" else None,
        "duration_s": seconds(row["started_at"], row["finished_at"] or row["at"]),
        "failure": orjson.loads(row["failure"]) if row["failure"] else None,
        "waiting_gates": list(row["waiting_gates"] or ()) if row["finished_at"] is None else [],
    }


def event_name(row: Row, *, id_column: str = "event_id", key_column: str = "event_key") -> EventName:
    """The identity of the event in a row."""
    return {
        "key": str(row[key_column]),
        "source": row["source"],
        "id": row[id_column],
        "type": row["type"],
        "subject": row["subject"],
    }


def run_detail(
    row: Row, tried: StageRows, gates: GateRows, blocking: Row | None = None, loaded: str | None = None
) -> RunDetail:
    """The whole run but for its CloudEvent. Stages are in the order of the graph, also those not reached yet.

    `blocking` is what is taken of the limits that hold for it, `loaded` the version that it could go on with (None:
    its own).
    """
    definition = orjson.loads(row["definition"]) if row["definition"] else {}
    stages = stage_shapes(definition, tried.attempts, tried.items, tried.costs, over=row["finished_at"] is not None)
    base = run_base(row)
    in_line = place(definition.get("limits", {}), row, blocking) if is_ready(row) else None
    return {
        **base,
        "epoch": row["epoch"],
        "adoptions": row["adoptions"],
        "owner": row["owner"],
        "params": masked(orjson.loads(row["params"]), definition.get("secret_params", ())),
        "event": {
            **event_name(row),
            "occurred_at": row["occurred_at"],
            "accepted_at": row["accepted_at"],
            "cloudevent": {},
        },
        "replay": _replay(row),
        "effects": [],
        "events": row["gathered"] or 1,
        "caused_by": {"run": row["cause_run"], "stage": row["cause_stage"]} if row["cause_run"] else None,
        "caused": [_caused(run) for run in tried.caused],
        "due_at": row["due_at"],
        "late_at": row["late_at"],
        "abandoned": _abandoned(row),
        "actions": [_action(one) for one in tried.actions],
        "stages": stages,
        "gates": _gates(definition, gates, over=row["finished_at"] is not None),
        "cancel_requested_at": row["cancel_requested_at"],
        "cancelled_by": row["cancelled_by"],
        "waits_for": in_line if is_ready(row) else _waits_for(row, stages, base["waiting_gates"]),
        "next_command": _next_command(base, _go_on(row, loaded), gone=_records_gone(base, stages)),
    }


def _replay(row: Row) -> ReplayShape | None:
    told = replayed(restore(heard_event(row["envelope"]))) if row["source"].startswith(REPLAY) else None
    if told is None:
        return _shadow(row) if row["trigger"] == SHADOW_TRIGGER else None
    event = str(told.original.key)
    return {"event": event, "run": told.run, "shadow": told.shadow, "reuse": told.reuse, "by": told.by}


def _shadow(row: Row) -> ReplayShape:
    """Of a sub-run that a run in shadow asked for."""
    by = f"run {row['cause_run']}"
    return {"event": str(row["event_key"]), "run": None, "shadow": True, "reuse": True, "by": by}


def _caused(row: Row) -> CausedShape:
    return {"run": row["id"], "pipeline": row["pipeline"], "stage": row["cause_stage"], "state": row["state"]}


def _action(row: Row) -> ActionShape:
    return {"at": row["at"], "action": row["action"], "by": row["by"], "detail": orjson.loads(row["detail"])}


def _abandoned(row: Row) -> AbandonedShape | None:
    if row["abandoned_at"] is None:
        return None
    return {"by": row["abandoned_by"], "at": row["abandoned_at"], "reason": row["abandon_reason"]}


def _waits_for(row: Row, stages: Sequence[StageShape], gates: Sequence[str]) -> str | None:
    state = row["state"]
    if (told := told_at_once(row, gates)) is not None:
        return told
    if state not in ("running", "waiting"):
        return None
    tries = [tried for stage in stages for tried in stage["attempts"]]
    if children := [tried["child_run"] for tried in tries if tried["state"] == "waiting" and tried["child_run"]]:
        return sub_runs(children)
    if row["ready_at"] is None:
        return None
    retried = [stage["name"] for stage in stages if stage["attempts"] and stage["attempts"][-1]["retry_at"]]
    return f"the next try of {' and '.join(retried) or 'its stage'} at {row['ready_at']:%H:%M:%S} UTC"


def _records_gone(run: RunBase, stages: Sequence[StageShape]) -> bool:
    """Whether a run failed because its records are no longer there: trying again cannot help."""
    failed = run["failure"]["stage"] if run["failure"] else ""
    last = [stage["attempts"][-1]["error"] for stage in stages if stage["name"] == failed and stage["attempts"]]
    return any(error is not None and error["type"].rpartition(".")[2] == "RecordsGone" for error in last)


def _go_on(row: Row, loaded: str | None) -> str:
    """The command that goes on with a run that ended. On other code a replay is made again, for it is about its own."""
    if loaded in (None, row["version"]):
        return f"tidemill resume {row['id']}"
    told = replayed(restore(heard_event(row["envelope"]))) if row["source"].startswith(REPLAY) else None
    if told is None or not row["code_kept"]:
        return f"tidemill resume {row['id']} --on latest"
    return again(told, row["pipeline"], row["version"])


def _next_command(run: RunBase, go_on: str, *, gone: bool) -> str | None:
    if run["state"] == "failed" and gone:
        return f"tidemill abandon {run['id']} --reason WHY"
    if run["state"] in ("failed", "cancelled"):
        return go_on
    if run["waiting_gates"] and run["finished_at"] is None:
        return f"tidemill approve {run['id']} {run['waiting_gates'][0]} --by NAME"
    return None


def _gates(definition: Mapping[str, Any], rows: GateRows, *, over: bool) -> list[GateShape]:
    """Every gate of the pipeline in its order, then those found that the definition does not know."""
    by_name = {row["gate"]: row for row in rows.gates}
    declared = definition.get("gates", ())
    found = [_gate(by_name.pop(one["name"], None), one, rows, over) for one in declared]
    return found + [_gate(row, {}, rows, over) for row in by_name.values()]


def _gate(row: Row | None, declared: Mapping[str, Any], rows: GateRows, over: bool) -> GateShape:
    name = row["gate"] if row else declared["name"]
    waits = row is not None and row["state"] == "waiting"
    decided = None if waits else row
    return {
        "name": name,
        "source": row["source"] if row else declared["source"],
        "target": row["target"] if row else declared["target"],
        "check": declared.get("check"),
        "state": PENDING if row is None else CANCELLED if waits and over else row["state"],
        "reason": row["reason"] if row else "",
        "evidence": orjson.loads(row["evidence"]) if row else {},
        "subject": row["subject"] if row else None,
        "decided_by": decided["decided_by"] if decided else None,
        "decided_at": decided["decided_at"] if decided else None,
        "expires_at": row["expires_at"] if row and waits and not over else None,
        "votes": [_vote(vote) for vote in rows.votes if vote["gate"] == name],
        "history": [_finding(found) for found in rows.history if found["gate"] == name],
    }


def _vote(row: Row) -> VoteShape:
    return {
        "by": row["by"],
        "role": row["role"],
        "decision": row["decision"],
        "reason": row["reason"],
        "at": row["at"],
        "event": str(row["event_key"]) if row["event_key"] else None,
    }


def _finding(row: Row) -> FindingShape:
    return {
        "seq": row["seq"],
        "state": row["state"],
        "reason": row["reason"],
        "evidence": orjson.loads(row["evidence"]),
        "subject": row["subject"],
        "decided_by": row["decided_by"],
        "decided_at": row["decided_at"],
        "report": row["report"],
    }
