"""Runs that wait for other runs: told when those have ended."""

from __future__ import annotations

from collections.abc import Iterable

from service.db.connect import sql
from service.db.writer import Flush


async def tell_parents(flush: Flush, parents: Iterable[int]) -> None:
    """Have runs look again at the sub-runs they wait for."""
    for run_id in sorted(set(parents)):
        await flush.connection.execute(sql("poke"), run_id)
        flush.wakes |= {"", f"poke {run_id}"}
