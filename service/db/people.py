"""What waits for a person at a gate: what is asked, on which grounds, and who has said what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from typing_extensions import TypedDict

from service.db.reads import Reads
from service.db.results import metrics_of
from service.db.rows import Row
from service.db.votes import needed_by
from service.shapes.gates import VoteShape
from service.words.events import event_name


class FoundShape(TypedDict):
    """What another gate of the run found."""

    gate: str
    state: str
    reason: str
    evidence: dict[str, Any]


class MadeShape(TypedDict):
    """What a stage of the run has made: its output by digest, and what it measured."""

    stage: str
    digest: str | None
    codec: str | None
    size_bytes: int | None
    metrics: dict[str, float]


class WaitingShape(TypedDict):
    """A gate that waits. `asked` are the people and groups it names, `needed` how many must approve.

    `subject` is the digest of the artifact it is about; `found` and `made` are the grounds.
    """

    run: int
    pipeline: str
    trigger: str
    event: str
    event_key: str
    gate: str
    source: str
    target: str
    reason: str
    evidence: dict[str, Any]
    subject: str
    asked: list[str]
    needed: int
    asked_at: datetime
    expires_at: datetime | None
    votes: list[VoteShape]
    found: list[FoundShape]
    made: list[MadeShape]


class WaitingPage(TypedDict):
    """Newest run first. `next` goes into `after` for the next page."""

    gates: list[WaitingShape]
    next: tuple[int, str] | None


class GatesPage(TypedDict):
    """Newest run first. `next` goes into `after` for the next page; null on the last one."""

    gates: list[WaitingShape]
    next: str | None


async def waiting_gates(
    reads: Reads, after: tuple[int, str] | None, limit: int, pipeline: str | None = None, gate: str | None = None
) -> WaitingPage:
    """Gates that wait, behind the run and gate `after`: four statements, however many there are.

    `gate` is the name of a gate or of the stage behind it.
    """
    rows = await reads.fetch("waiting_gates", *(after or (None, None)), limit, pipeline, gate)
    runs = sorted({row["run_id"] for row in rows})
    votes = _by_run(await reads.fetch("votes_about", runs)) if runs else {}
    gates = _by_run(await reads.fetch("review_gates", runs)) if runs else {}
    attempts = _by_run(await reads.fetch("review_attempts", runs)) if runs else {}
    found = [_waiting(row, *(of.get(row["run_id"], ()) for of in (votes, gates, attempts))) for row in rows]
    return {"gates": found, "next": (rows[-1]["run_id"], rows[-1]["gate"]) if len(rows) == limit else None}


def _waiting(row: Row, votes: Sequence[Row], gates: Sequence[Row], attempts: Sequence[Row]) -> WaitingShape:
    evidence = orjson.loads(row["evidence"])
    by = evidence.get("by", [])
    plain = ("pipeline", "trigger", "gate", "source", "target", "reason", "subject", "asked_at", "expires_at")
    return {
        "run": row["run_id"],
        **{name: row[name] for name in plain},  # type: ignore[typeddict-item]
        "event": event_name({"id": row["event_id"], "subject": row["event_subject"]}, row["pipeline"]),
        "event_key": str(row["event_key"]),
        "evidence": evidence,
        "asked": [by] if isinstance(by, str) else [str(one) for one in by] if isinstance(by, list) else [],
        "needed": needed_by(evidence),
        "votes": [_vote(one) for one in votes if one["gate"] == row["gate"]],
        "found": [_found(one) for one in gates if one["gate"] != row["gate"] and one["state"] != "waiting"],
        "made": _made(attempts),
    }


def _vote(row: Row) -> VoteShape:
    event = str(row["event_key"]) if row["event_key"] else None
    told = {name: row[name] for name in ("by", "role", "decision", "reason", "at")}
    return {**told, "event": event}  # type: ignore[typeddict-item]


def _found(row: Row) -> FoundShape:
    evidence = orjson.loads(row["evidence"])
    return {"gate": row["gate"], "state": row["state"], "reason": row["reason"], "evidence": evidence}


def _made(attempts: Sequence[Row]) -> list[MadeShape]:
    """The latest result of each stage that counts."""
    latest: dict[str, MadeShape] = {}
    for row in attempts:
        if row["item"] < 0 and row["void"] is None and row["output_digest"] is not None:
            latest[row["stage"]] = {
                "stage": row["stage"],
                "digest": row["output_digest"],
                "codec": row["output_codec"],
                "size_bytes": row["output_size"],
                "metrics": metrics_of(row),
            }
    return list(latest.values())


def _by_run(rows: Sequence[Row]) -> Mapping[int, Sequence[Row]]:
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["run_id"], []).append(row)
    return grouped
