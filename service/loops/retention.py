"""Cleans up: removes runs and events that are kept no longer, then artifacts that nothing refers to.

Why nothing that is needed can be lost on the way is told in docs/decisions/0014.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from service.db.retention import NoteCleanUp, Removal, removing
from service.db.rows import Row
from service.db.writer import Writer
from service.errors import Conflict, DatabaseUnavailable
from service.loops.artifacts import STORE_BATCH, ArtifactSweep
from service.retention import CleanedPipeline, CleanUp, Policy, counted, nothing, removed_anything
from stages.artifacts import ArtifactStore
from stages.errors import StageError
from triggers.base import Clock

logger = logging.getLogger("tidemill.retention")

# How long to wait for transactions that were under way when runs were marked.
PATIENCE_S = 10.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Retention:
    """Removes what a policy lets go of. Safe to be cut short anywhere, and to be started by many: one works."""

    dsn: str
    store: ArtifactStore
    writer: Writer
    clock: Clock

    async def run(self, policy: Policy, every_s: float) -> None:
        """Clean up now and then, until cancelled. Trouble outside is told, and tried again the next time."""
        while True:
            await self.clock.sleep(every_s)
            try:
                done = await self.clean(policy, by="retention")
            except Conflict as error:
                logger.debug("%s", error)
            except (DatabaseUnavailable, StageError) as error:
                logger.warning("could not clean up: %s", error)
            else:
                if removed_anything(done):
                    logger.info("cleaned up: %s", told(done))

    async def plan(self, policy: Policy) -> CleanUp:
        """What would go. Changes nothing. Raises `Conflict`, `DatabaseUnavailable`, `StoreUnavailable`."""
        async with removing(self.dsn) as removal:
            return await _Plan(policy, removal, self.store).made()

    async def clean(self, policy: Policy, *, by: str) -> CleanUp:
        """Remove it, and put on record what was. Raises like `plan`; what was removed before that stays removed."""
        done = nothing(policy, dry_run=False)
        try:
            async with removing(self.dsn) as removal:
                await _Round(policy, removal, self.store, self.clock, done).work()
        finally:
            if removed_anything(done):
                self.writer.post(NoteCleanUp({**done, "by": by}))
        return done


def told(done: CleanUp) -> str:
    """What went, in one line."""
    runs = sum(one["runs"] for one in done["pipelines"])
    return (
        f"{runs} runs, {done['events']} events; {done['set_aside']['artifacts']} artifacts set aside, "
        f"{done['dropped']['artifacts']} dropped ({done['dropped']['size_bytes']} bytes)"
    )


@dataclass(slots=True)
class _Plan:
    """A look at what would go."""

    policy: Policy
    removal: Removal
    store: ArtifactStore
    gone: list[int] = field(default_factory=list)

    async def made(self) -> CleanUp:
        plan = nothing(self.policy, dry_run=True)
        pinned = await self.removal.pinned()
        freed: set[str] = set()
        if self.policy.removes_runs:
            uses: dict[str, int] = {}
            first: dict[str, tuple[CleanedPipeline, int]] = {}
            for name in await self.removal.pipelines():
                counts = counted(name)
                await self._weigh(counts, sorted(pinned), uses, first)
                plan["pipelines"] += [counts] if counts["runs"] else []
            freed = await self._freed(uses, first, pinned)
        if self.policy.events_age_s is not None:
            plan["events"] = await self.removal.old_events(self.policy.events_age_s, self.gone)
        plan["in_review"] = await self.removal.in_review()
        await ArtifactSweep(self.removal, self.store, plan).work(freed)
        return plan

    async def _weigh(
        self,
        counts: CleanedPipeline,
        pinned: Sequence[str],
        uses: dict[str, int],
        first: dict[str, tuple[CleanedPipeline, int]],
    ) -> None:
        """Count what goes of a pipeline, and how often its runs refer to each artifact."""
        batches = self.removal.removable(
            counts["pipeline"], keep=self.policy.runs or 0, age_s=self.policy.age_s, pinned=pinned
        )
        async for ids in batches:
            self.gone += ids
            weight = await self.removal.weigh(ids)
            counts["runs"] += len(ids)
            counts["attempts"] += weight["attempts"]
            counts["log_lines"] += weight["log_lines"]
            for row in await self.removal.outputs(ids):
                uses[row["digest"]] = uses.get(row["digest"], 0) + row["uses"]
                first.setdefault(row["digest"], (counts, row["size_bytes"]))

    async def _freed(
        self, uses: dict[str, int], first: dict[str, tuple[CleanedPipeline, int]], pinned: set[str]
    ) -> set[str]:
        """The artifacts that nothing else refers to, counted for the first pipeline that did."""
        freed: set[str] = set()
        for batch in _batches(list(uses)):
            total = await self.removal.uses(batch)
            freed |= {digest for digest in batch if digest not in pinned and total[digest] <= uses[digest]}
        for digest in freed:
            counts, size_bytes = first[digest]
            counts["artifacts"] += 1
            counts["size_bytes"] += size_bytes
        return freed


@dataclass(slots=True)
class _Round:
    """One clean-up under way; `done` tells how far it is."""

    policy: Policy
    removal: Removal
    store: ArtifactStore
    clock: Clock
    done: CleanUp

    async def work(self) -> None:
        pinned = await self.removal.pinned()
        if self.policy.removes_runs:
            await self._mark(sorted(pinned))
        if await self.removal.removing():
            await self._remove(pinned)
        if self.policy.events_age_s is not None:
            self.done["events"] = await self.removal.remove_events(self.policy.events_age_s)
            await self.removal.remove_bodies(self.policy.events_age_s)
            await self.removal.remove_predictions(self.policy.events_age_s)
        self.done["in_review"] = await self.removal.in_review()
        await ArtifactSweep(self.removal, self.store, self.done).work()

    async def _mark(self, pinned: Sequence[str]) -> None:
        for name in await self.removal.pipelines():
            batches = self.removal.removable(name, keep=self.policy.runs or 0, age_s=self.policy.age_s, pinned=pinned)
            async for ids in batches:
                await self.removal.mark(ids)

    async def _remove(self, pinned: set[str]) -> None:
        """Remove what is marked, once nobody can be about to start a run for a repeat of one of its events."""
        if not await self._everybody_sees_the_marks():
            self.done["left"] = await self.removal.removing()
            return
        counts: dict[str, CleanedPipeline] = {}
        # They are counted where none of a batch went: they may all have been resumed.
        while (rows := await self.removal.remove_marked()) or await self.removal.removing():
            for row in rows:
                _count(counts.setdefault(row["pipeline"], counted(row["pipeline"])), row)
            self.done["pipelines"] = list(counts.values())
            await self._count_freed(rows, counts, pinned)

    async def _everybody_sees_the_marks(self) -> bool:
        following = await self.removal.next_transaction()
        waited_s = 0.0
        while not await self.removal.all_ended_before(following):
            if waited_s >= PATIENCE_S:
                return False
            await self.clock.sleep(POLL_S)
            waited_s += POLL_S
        return True

    async def _count_freed(self, rows: Sequence[Row], counts: dict[str, CleanedPipeline], pinned: set[str]) -> None:
        found = {
            digest: (row["pipeline"], size_bytes)
            for row in rows
            for digest, size_bytes in zip(row["digests"], row["sizes"], strict=True)
        }
        for batch in _batches(list(found)):
            used = await self.removal.used(batch)
            for digest in (one for one in batch if one not in used and one not in pinned):
                pipeline, size_bytes = found[digest]
                counts[pipeline]["artifacts"] += 1
                counts[pipeline]["size_bytes"] += size_bytes


def _count(counts: CleanedPipeline, row: Row) -> None:
    counts["runs"] += 1
    counts["attempts"] += row["attempts"]
    counts["log_lines"] += row["log_lines"]


def _batches(digests: Sequence[str]) -> Iterable[Sequence[str]]:
    return (digests[start : start + STORE_BATCH] for start in range(0, len(digests), STORE_BATCH))
