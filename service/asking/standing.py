"""How the limits of a run that might be started stand at this moment. Reads, and reserves nothing."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from service.asking.shapes import LimitsShape, RunForetold
from service.db.offered import RunRow
from service.db.reads import Reads
from service.db.views import Views
from stages.policy import RunPolicy
from stages.secret_params import Path as SecretPath
from stages.secret_params import masked


class Standings:
    """Tells of each run that would be started what it would have to wait for."""

    def __init__(self, reads: Reads, views: Views) -> None:
        self._reads = reads
        self._views = views

    async def foretell(self, row: RunRow, policy: RunPolicy, secret: Sequence[SecretPath]) -> RunForetold:
        """The run with its secrets hidden, and its limits as they are now. Raises `DatabaseUnavailable`."""
        limits = await self._limits(row, policy)
        return {
            "pipeline": row.pipeline,
            "version": row.version,
            "trigger": row.trigger,
            "params": masked(orjson.loads(row.params), secret),
            "priority": row.priority,
            "tags": list(row.tags),
            "due_at": row.due_at,
            "queue_timeout_s": row.queue_timeout_s,
            "limits": limits,
            "told": _gathers(row) or told(limits),
        }

    async def _limits(self, row: RunRow, policy: RunPolicy) -> LimitsShape:
        concurrency, rate, held = policy.concurrency, policy.rate, row.limits
        keyed = held.key is not None and concurrency is not None
        others = await self._reads.fetch("unfinished_of_keys", [row.pipeline], [held.key]) if keyed else []
        started = 0
        if rate is not None and held.rate_key is not None:
            [counted] = await self._reads.fetch("started_within", row.pipeline, held.rate_key, float(rate.per_s))
            started = counted["started"]
        counts = await self._views.unfinished() if policy.max_running is not None else {}
        pools = {one["name"]: one for one in await self._views.pools()} if held.pool is not None else {}
        pool = pools.get(held.pool or "")
        return {
            "key": held.key if keyed else None,
            "at_most": concurrency.at_most if keyed and concurrency is not None else None,
            "policy": concurrency.policy if keyed and concurrency is not None else None,
            "unfinished": [one["id"] for one in others if not one["cancelling"]],
            "max_running": policy.max_running,
            "running": counts.get((row.pipeline, "running"), (0, 0))[0],
            "rate": held.rate_key if rate is not None else None,
            "rate_runs": rate.runs if rate is not None else None,
            "rate_per_s": rate.per_s if rate is not None else None,
            "rate_started": started,
            "pool": held.pool,
            "pool_places": pool["capacity"] if pool is not None else None,
            "pool_taken": pool["taken"] if pool is not None else 0,
        }


def _gathers(row: RunRow) -> str:
    """Of a run that others join: when it starts."""
    coalesce = None if row.terms is None else row.terms.coalesce
    return "" if coalesce is None else f"it would gather {coalesce.tells()}"


def told(limits: LimitsShape) -> str:
    """When such a run would start, in words. Pure."""
    if limits["at_most"] is not None and len(limits["unfinished"]) >= limits["at_most"]:
        return _told_of_key(limits)
    waits = [why for why in (_full(limits), _too_fast(limits), _no_place(limits)) if why]
    return f"it would wait: {', and '.join(waits)}" if waits else "it would start at once"


def _told_of_key(limits: LimitsShape) -> str:
    runs, key = _named(limits["unfinished"]), f"of the same key {limits['key']!r}"
    match limits["policy"]:
        case "drop_new":
            return f"it would not come to be: {runs} {key} has not finished, and the pipeline drops new ones"
        case "cancel_running":
            return f"it would take the place of {runs} {key}, which would be cancelled"
    return f"it would wait its turn behind {runs} {key}"


def _full(limits: LimitsShape) -> str:
    most = limits["max_running"]
    return f"{limits['running']} of at most {most} run" if most is not None and limits["running"] >= most else ""


def _too_fast(limits: LimitsShape) -> str:
    runs = limits["rate_runs"]
    if limits["rate"] is None or runs is None or limits["rate_started"] < runs:
        return ""
    return f"{limits['rate_started']} of at most {runs} were started within the last {limits['rate_per_s']:g} s"


def _no_place(limits: LimitsShape) -> str:
    places = limits["pool_places"]
    taken = limits["pool_taken"]
    return f"{taken} of the {places} places of pool {limits['pool']} are taken" if places and taken >= places else ""


def _named(runs: Sequence[int]) -> str:
    shown = ", ".join(map(str, runs[:5]))
    return f"{'run' if len(runs) == 1 else 'runs'} {shown}" + (" and others" if len(runs) > 5 else "")
