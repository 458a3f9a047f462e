"""The part of accepting that looks at runs of the same key: `drop_new` and `cancel_running`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.crowding import Key, Newcomer, Place, dropped, replaced, why_dropped
from service.db.connect import columns, sql
from service.db.steering import Cancel
from service.db.writer import Flush


@dataclass(slots=True)
class Crowd:
    """Newcomers of guarded keys, and the runs they meet. Their keys are locked until the flush has committed.

    `unfinished` leaves out runs that were asked to cancel already where newcomers replace the older ones.
    """

    newcomers: Sequence[Newcomer] = ()
    unfinished: Mapping[Key, Sequence[int]] = field(default_factory=dict)
    dropped: Mapping[Place, int | Place] = field(default_factory=dict)

    @classmethod
    async def gather(cls, flush: Flush, newcomers: Sequence[Newcomer]) -> Crowd:
        """Lock the keys, and decide who is not started."""
        if not newcomers:
            return cls()
        keys = columns(sorted({one.key for one in newcomers}), 2)
        await flush.connection.execute(sql("lock_keys"), *keys)
        replacing = {one.key for one in newcomers if one.limit.policy == "cancel_running"}
        unfinished: dict[Key, list[int]] = {}
        for pipeline, key, run, cancelling in await flush.connection.fetch(sql("unfinished_of_keys"), *keys):
            if not (cancelling and (pipeline, key) in replacing):
                unfinished.setdefault((pipeline, key), []).append(run)
        places = columns([one.place for one in newcomers], 2)
        decided = {(row[0], row[1]) for row in await flush.connection.fetch(sql("decided_places"), *places)}
        return cls(newcomers, unfinished, dropped(newcomers, unfinished, decided))

    async def settle(
        self,
        flush: Flush,
        started: Mapping[Place, int],
        triggers: Mapping[Place, str],
        followers: Mapping[Place, Place],
    ) -> Mapping[Place, str]:
        """Once runs have their ids: record who was dropped and why, and ask the replaced to cancel.

        `followers` are dropped with the newcomer whose run they would have shared.
        """
        reasons: dict[Place, str] = {}
        for one in self.newcomers:
            holder = self.dropped.get(one.place)
            if holder is not None:
                run = holder if isinstance(holder, int) else started.get(holder, 0)
                reasons[one.place] = why_dropped(run, one.key[1], one.limit)
        reasons |= {place: reasons[leader] for place, leader in followers.items()}
        rows = [(*place, triggers[place], reason) for place, reason in sorted(reasons.items())]
        if rows:
            await flush.connection.execute(sql("put_dropped"), *columns(rows, 4))
        cancels = [
            Cancel(old, f"tidemill: replaced by run {new}")
            for old, new in replaced(self.newcomers, self.unfinished, started).items()
        ]
        if cancels:
            await Cancel.write(flush, cancels)
        return reasons
