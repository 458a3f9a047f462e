"""Votes at a gate, and the end of the time there was for them: whichever comes first decides."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import orjson

from service.db.connect import sql
from service.db.rows import Row
from service.db.writer import Flush, Operation
from service.errors import RunLost
from service.model import FINISHED_RUNS, GateState, RunState, rejection
from stages.gates.base import GateResult
from triggers.approval import Decision


class Taken(enum.Enum):
    """How a vote was taken."""

    COUNTED = "counted"
    REPEATED = "the same person said so before"
    OPPOSED = "the same person said the opposite before"
    MOVED = "the gate asks something else by now"
    LATE = "its time was over"
    CLOSED = "the gate does not wait"
    SPENT = "its link was used before, or is too old"


@dataclass(frozen=True, slots=True)
class Voted:
    """How a vote was taken, and where the gate stands since. False unless the vote counted."""

    taken: Taken
    state: GateState = GateState.WAITING
    reason: str = ""
    decided_by: str = ""

    def __bool__(self) -> bool:
        return self.taken is Taken.COUNTED


@dataclass(eq=False, slots=True)
class DecideGate(Operation):
    """Record a person's vote at a waiting gate; where it decides, wake the run. The answer is a `Voted`.

    One rejection fails the gate; it passes once `needed` different people have approved. The vote is about `subject`
    (None: whatever the gate is asked about). It is kept with the key of its event: `event_key` if it decides the gate,
    else `vote_key`. A vote given by a one-time `link` counts only if that can still be used, and uses it up.
    """

    order: ClassVar[int] = 45

    run_id: int
    pipeline: str
    gate: str
    decision: Decision
    by: str
    reason: str = ""
    needed: int = 1
    subject: str | None = None
    role: str | None = None
    event_key: UUID | None = None
    vote_key: UUID | None = None
    link: UUID | None = None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[DecideGate]) -> Sequence[Voted]:
        """The run's row is locked first: its owner cannot park it between the decision and the wake."""
        return [await _vote(flush, op) for op in operations]


async def _vote(flush: Flush, op: DecideGate) -> Voted:
    run = await flush.connection.fetchrow(sql("lock_run"), op.run_id)
    gate = await flush.connection.fetchrow(sql("gate_asked"), op.run_id, op.gate)
    if gate is None or gate["state"] != GateState.WAITING or RunState(run["state"]) in FINISHED_RUNS:
        return Voted(Taken.CLOSED)
    asked = orjson.loads(gate["evidence"])
    if op.subject not in (None, gate["subject"]) or op.needed != needed_by(asked):
        return Voted(Taken.MOVED)
    if gate["late"]:
        return Voted(Taken.LATE)
    votes = [dict(vote) for vote in await flush.connection.fetch(sql("votes_on"), op.run_id, op.gate, gate["subject"])]
    own = next((vote for vote in votes if vote["by"] == op.by), None)
    if own is not None:
        told = Taken.REPEATED if own["decision"] == op.decision else Taken.OPPOSED
        return Voted(told, GateState.WAITING, gate["reason"], gate["decided_by"])
    if op.link is not None and not await _use_link(flush, op, op.link, gate["subject"]):
        return Voted(Taken.SPENT)
    votes.append({"by": op.by, "decision": op.decision, "role": op.role})
    voted = tally(votes, op.needed, op.reason)
    await _put(flush, op, gate["subject"], {**asked, "votes": votes}, voted)
    return voted


async def _use_link(flush: Flush, op: DecideGate, link: UUID, subject: str) -> bool:
    place = (link, op.run_id, op.gate, subject, op.by, op.decision)
    return await flush.connection.fetchrow(sql("use_link"), *place) is not None


async def _put(flush: Flush, op: DecideGate, subject: str, evidence: Mapping[str, Any], voted: Voted) -> None:
    """Write the vote and where the gate stands since."""
    decides = voted.state is not GateState.WAITING
    key = op.event_key if decides else op.vote_key
    vote = (op.run_id, op.gate, subject, op.by, op.decision, op.reason, op.role, key)
    await flush.connection.execute(sql("cast_vote"), *vote)
    told = orjson.dumps({**evidence, "decision": op.decision} if decides else evidence)
    stand = (op.run_id, op.gate, voted.state.value, voted.reason, told, voted.decided_by)
    await flush.connection.execute(sql("decide_gate"), *stand)
    entry = {"run": op.run_id, "pipeline": op.pipeline, "gate": op.gate, "by": op.by}
    if decides:
        await flush.connection.execute(sql("poke"), op.run_id)
        flush.wakes |= {"", f"poke {op.run_id}"}
        flush.log.append(entry | {"move": voted.state.value})
    else:
        flush.log.append(entry | {"move": "vote", "decision": op.decision})


def needed_by(asked: Mapping[str, Any]) -> int:
    """How many people must approve, by the evidence of a waiting gate. One, where it does not say."""
    needed = asked.get("needed", 1)
    return needed if isinstance(needed, int) and needed > 0 else 1


def tally(votes: Sequence[Mapping[str, Any]], needed: int, reason: str) -> Voted:
    """Where a gate stands after `votes`, the last of which was given for `reason`."""
    last = votes[-1]
    if last["decision"] == "rejected":
        return Voted(Taken.COUNTED, GateState.FAILED, reason or rejection(last["by"]), last["by"])
    people = ", ".join(vote["by"] for vote in votes)
    if len(votes) < needed:
        return Voted(Taken.COUNTED, GateState.WAITING, f"{len(votes)} of {needed} approved: {people}", people)
    told = reason if reason and needed == 1 else f"approved by {people}"
    return Voted(Taken.COUNTED, GateState.PASSED, told, people)


@dataclass(eq=False, slots=True)
class ExpireGate(Operation):
    """Fail a gate that waits past its time. The answer is a `GateResult`: where the gate stands, whoever decided it.

    Fenced by the epoch: the answer may be `RunLost`.
    """

    order: ClassVar[int] = 29

    run_id: int
    pipeline: str
    epoch: int
    gate: str
    subject: str
    decided_by: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[ExpireGate]) -> Sequence[GateResult | RunLost]:
        """The run's row is locked first, as for a vote: the later one of the two finds the gate decided."""
        return [await _expire(flush, op) for op in operations]


async def _expire(flush: Flush, op: ExpireGate) -> GateResult | RunLost:
    run = await flush.connection.fetchrow(sql("lock_run"), op.run_id)
    gate = await flush.connection.fetchrow(sql("gate_asked"), op.run_id, op.gate)
    owned = (run["state"], run["epoch"]) == (RunState.RUNNING, op.epoch)
    if not owned or gate is None or gate["subject"] != op.subject:
        return RunLost(f"run {op.run_id} was adopted by another")
    if gate["state"] != GateState.WAITING or not gate["late"]:
        return _as_it_stands(gate)
    found = GateResult(GateState.FAILED, undecided(gate), orjson.loads(gate["evidence"]))
    stand = (op.run_id, op.gate, found.state.value, found.reason, gate["evidence"], op.decided_by)
    await flush.connection.execute(sql("decide_gate"), *stand)
    flush.log.append({"run": op.run_id, "pipeline": op.pipeline, "gate": op.gate, "move": found.state.value})
    return found


def _as_it_stands(gate: Row) -> GateResult:
    evidence = orjson.loads(gate["evidence"])
    return GateResult(GateState(gate["state"]), gate["reason"], evidence, expires_s=gate["expires_in_s"])


def undecided(gate: Row) -> str:
    """Why a gate failed that waited for too long."""
    evidence = orjson.loads(gate["evidence"])
    within = f"within {evidence['expires_s']:g} s" if "expires_s" in evidence else "in time"
    votes = len(evidence.get("votes", ()))
    return f"only {votes} of {needed_by(evidence)} approved {within}" if votes else f"nobody decided {within}"
