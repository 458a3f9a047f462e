"""Finds the artifacts that nothing refers to, sets them aside, and drops what was set aside long ago.

Why nothing that is needed can be lost on the way is told in docs/decisions/0014.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from service.db.retention import Removal
from service.retention import CleanedArtifacts, CleanUp
from stages.artifacts import ArtifactRef, ArtifactStore, SetAside, Stored
from stages.errors import ArtifactCorrupted, ArtifactMissing, Undecodable
from stages.gathered import GATHERED, unpack
from stages.values import content

logger = logging.getLogger("tidemill.retention")

STORE_BATCH = 500
# A store makes what is put again young to the hour.
SLACK = timedelta(hours=1)

Kept = TypeVar("Kept", Stored, SetAside)


@dataclass(frozen=True, slots=True)
class ArtifactSweep:
    """One look through the store. `done` tells how far it is; where that is a dry run, it only counts."""

    removal: Removal
    store: ArtifactStore
    done: CleanUp

    async def work(self, freed: set[str] | None = None) -> None:
        """Drop, then set aside. `freed` are artifacts to take for unused."""
        now = await self.removal.now()
        before = now - timedelta(seconds=self.done["grace_s"])
        elsewhere = await self._referred_to_elsewhere()
        await self._drop(before, elsewhere)
        mapping_since = await self.removal.mapping_since()
        young = before if mapping_since is None else min(before, mapping_since - SLACK)
        await self._set_aside(now, young, elsewhere, freed or set())

    async def _drop(self, before: datetime, elsewhere: set[str]) -> None:
        async for batch in _in_batches(self.store.set_aside(), before):
            needed = await self.removal.used([one.digest for one in batch]) | elsewhere
            for one in batch:
                if one.digest not in needed:
                    _add(self.done["dropped"], one.size_bytes)
                    if not self.done["dry_run"]:
                        await self.store.drop(one)
                elif not self.done["dry_run"] and await self.store.bring_back(one.digest):
                    await self.store.drop(one)
                    self.done["brought_back"] += 1

    async def _set_aside(self, now: datetime, before: datetime, elsewhere: set[str], freed: set[str]) -> None:
        async for batch in _in_batches(self.store.stored(), before):
            needed = await self.removal.used([one.digest for one in batch]) - freed | elsewhere
            for one in batch:
                if one.digest not in needed:
                    _add(self.done["set_aside"], one.size_bytes)
                    if not self.done["dry_run"]:
                        await self.store.retire(one.digest, now)

    async def _referred_to_elsewhere(self) -> set[str]:
        """What models refer to, and the items of lists that runs took whole."""
        found = await self.removal.pinned()
        lists = await self.removal.lists_taken()
        while lists:
            items = await self._items(lists.pop())
            found |= {one.digest for one in items}
            lists += [one for one in items if one.codec == GATHERED]
        return found

    async def _items(self, ref: ArtifactRef) -> list[ArtifactRef]:
        """The results in a list. One that cannot be read is of no use to anybody, and neither are they."""
        try:
            return [one for one in unpack(await content(ref, self.store)) if one is not None]
        except (ArtifactMissing, ArtifactCorrupted, Undecodable) as error:
            logger.warning("a list of results cannot be read: %s", error)
            return []


async def _in_batches(found: AsyncIterator[Kept], before: datetime) -> AsyncIterator[list[Kept]]:
    """What is from before an instant."""
    batch: list[Kept] = []
    async for one in found:
        if (one.at if isinstance(one, SetAside) else one.modified_at) <= before:
            batch.append(one)
        if len(batch) == STORE_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _add(total: CleanedArtifacts, size_bytes: int) -> None:
    total["artifacts"] += 1
    total["size_bytes"] += size_bytes
