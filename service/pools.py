"""What is set of pools against what pipelines ask for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from service.db.pools import put_pools
from service.errors import ConfigError
from service.values import Amount
from stages.pipeline import Pipeline

logger = logging.getLogger("tidemill")


def pools_of(amounts: Iterable[Amount]) -> Mapping[str, int]:
    """The setting `pools`, by name."""
    return {one.name: int(one.amount) for one in amounts}


def check_pools(pipelines: Iterable[Pipeline], pools: Mapping[str, int]) -> None:
    """Raises `ConfigError` for a pipeline in a pool that is not set."""
    for pipeline in pipelines:
        pool = pipeline.policy.pool
        if pool is not None and pool not in pools:
            set_now = ", ".join(f"{name}={places}" for name, places in pools.items()) or "nothing"
            raise ConfigError(
                f"pipeline {pipeline.name} runs in pool {pool!r}, and pools (TIDEMILL_POOLS) is set to {set_now}:"
                f" add {pool}=PLACES, the same for every daemon"
            )


async def announce_pools(dsn: str, pools: Mapping[str, int]) -> None:
    """Store what is set, so that all daemons go by one number, and warn where it was another."""
    if not pools:
        return
    for name, before in (await put_pools(dsn, pools)).items():
        logger.warning(
            "pool %s had %s places and has %s now, for all daemons: give them all the same TIDEMILL_POOLS",
            *(name, before, pools[name]),
        )
