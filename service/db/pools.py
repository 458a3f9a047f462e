"""Pools: places that runs of several pipelines share, over all processes."""

from __future__ import annotations

from collections.abc import Mapping

from service.db.connect import connect, sql, telling
from service.db.writer import WAKE_CHANNEL
from triggers import faults


async def put_pools(dsn: str, pools: Mapping[str, int]) -> Mapping[str, int]:
    """Make these the pools' capacities for every process, and let waiting runs be looked at.

    The answer is what those of them were that were different before. Raises `DatabaseUnavailable`.
    """
    connection = await connect(dsn)
    with telling(dsn):
        try:
            arguments = (list(pools), list(pools.values()), WAKE_CHANNEL)
            await faults.reach("put_pools.commit")
            before = {row["name"]: row["capacity"] for row in await connection.fetch(sql("put_pools"), *arguments)}
            await faults.reach("put_pools.committed")
        finally:
            await connection.close()
    return {name: capacity for name, capacity in before.items() if capacity != pools[name]}
