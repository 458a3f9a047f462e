"""What people do to runs: cancel, resume, skip a stage, abandon. Each is kept, with who did it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import orjson

from service.db.aside import STALE
from service.db.connect import sql
from service.db.parents import tell_parents
from service.db.rows import Row
from service.db.writer import Flush, Operation
from service.model import RunState


@dataclass(eq=False, slots=True)
class Cancel(Operation):
    """Ask for a run to be cancelled, and the sub-runs it waits for. The answer is its state, None if it was over.

    `running` means that its owner was asked to stop it, `waiting` or `queued` that somebody will take it to clean up.
    """

    order: ClassVar[int] = 50

    run_id: int
    by: str

    def in_vain(self, answer: Any) -> bool:
        """It was over."""
        return answer is None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Cancel]) -> Sequence[RunState | None]:
        """Sub-runs are cancelled by whoever cancelled the run that waits for them."""
        return [await _cancel(flush, op.run_id, op.by) for op in operations]


async def _cancel(flush: Flush, run_id: int, by: str) -> RunState | None:
    row = await flush.connection.fetchrow(sql("request_cancel"), run_id, by)
    if row is None:
        return None
    state = RunState(row["state"])
    word = "cancel" if row["first"] else "insist"
    flush.wakes |= {f"{word} {run_id}"} if state is RunState.RUNNING else {""}
    if state is RunState.CANCELLED:
        await flush.connection.execute(sql("stop_waiting"), run_id)
        flush.log.append({"run": run_id, "pipeline": row["pipeline"], "move": "cancelled", "by": by})
    if row["first"]:
        await _note(flush, run_id, "cancelled", by, {})
    await tell_parents(flush, [row["parent_run"]] if row["parent_run"] is not None else [])
    for child in await flush.connection.fetch(sql("children_of"), run_id):
        await _cancel(flush, child["id"], by)
    return state


@dataclass(eq=False, slots=True)
class Resume(Operation):
    """Queue a failed or cancelled run again, keeping its finished stages. The answer is whether there was one.

    `epoch` is the one the caller saw. `stale` and `forced` are stages whose results are set aside: a stale one counts
    again if it turns out to have the same key. `items` are single items of mapped stages that are stale, `gates` those
    checked anew although they passed. `skip` is a stage to pass over. `version` and `params` (JSON) replace the run's
    own. `detail` is kept with the action.
    """

    order: ClassVar[int] = 50

    run_id: int
    by: str
    action: str = "resumed"
    epoch: int | None = None
    stale: Sequence[str] = ()
    forced: Sequence[str] = ()
    items: Mapping[str, Sequence[int]] = field(default_factory=dict)
    gates: Sequence[str] = ()
    skip: str | None = None
    reason: str = ""
    version: str | None = None
    params: bytes | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)

    def in_vain(self, answer: Any) -> bool:
        """It had been resumed, or was never over."""
        return not answer

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Resume]) -> Sequence[bool]:
        """Twice in a row is once: the second finds the run queued."""
        return [await _resume(flush, op) for op in operations]


async def _resume(flush: Flush, op: Resume) -> bool:
    connection = flush.connection
    row = await connection.fetchrow(sql("resume"), op.run_id, op.epoch, op.version, op.params, list(op.gates))
    if row is None:
        return False
    for stages, void in ((op.stale, STALE), (op.forced, "forced")):
        if stages:
            await connection.execute(sql("set_aside"), op.run_id, list(stages), void)
    for stage, items in op.items.items():
        await connection.execute(sql("set_aside_items"), op.run_id, stage, list(items), STALE)
    if op.skip is not None:
        await connection.execute(sql("skip_stage"), op.run_id, op.skip, op.reason)
    await _note(flush, op.run_id, op.action, op.by, op.detail)
    flush.wakes.add("")
    flush.sequences |= _sequence(row)
    flush.log.append({"run": op.run_id, "pipeline": row["pipeline"], "move": "queued", "by": op.by})
    return True


@dataclass(eq=False, slots=True)
class Abandon(Operation):
    """Give up a failed run without resuming it, or a cancelled one that others wait behind. The answer is whether there
    was one.
    """

    order: ClassVar[int] = 50

    run_id: int
    by: str
    reason: str

    def in_vain(self, answer: Any) -> bool:
        """It had not failed, or was resumed."""
        return not answer

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Abandon]) -> Sequence[bool]:
        """The run stays as it is, and may still be resumed, which opens it again."""
        answers = []
        for op in operations:
            row = await flush.connection.fetchrow(sql("abandon"), op.run_id, op.by, op.reason)
            answers.append(row is not None)
            if row is not None:
                await _note(flush, op.run_id, "abandoned", op.by, {"reason": op.reason})
                named = {"run": op.run_id, "pipeline": row["pipeline"]}
                flush.log.append({**named, "move": "abandoned", "by": op.by, "reason": op.reason})
                flush.sequences |= _sequence(row)
        return answers


def _sequence(row: Row) -> set[str]:
    return set() if row["sequence"] is None else {row["sequence"]}


async def _note(flush: Flush, run_id: int, action: str, by: str, detail: Mapping[str, Any]) -> None:
    await flush.connection.execute(sql("note_action"), run_id, action, by, orjson.dumps(detail, default=str))
