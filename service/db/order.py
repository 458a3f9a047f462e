"""Runs that follow each other: which of a sequence may start is decided in the flush that changes the sequence.

Whatever adds a run to a sequence, ends one with success, gives one up or takes one up again names the sequence to its
flush. At the end of the flush, under a lock for each sequence that lasts until the commit, the first run that has still
to succeed is let go. Of two such flushes the second sees what the first did, so no run is left waiting for nobody.
"""

from __future__ import annotations

from collections.abc import Collection

import asyncpg

from service.db.connect import sql


async def let_go(connection: asyncpg.Connection, sequences: Collection[str]) -> bool:
    """Let the heads of `sequences` start. The answer is whether any may be claimed now.

    The locks come after all else that a flush takes hold of, in one order: nobody who holds one waits for a row.
    """
    named = sorted(sequences)
    await connection.execute(sql("lock_sequences"), named)
    return any(row["ready"] for row in await connection.fetch(sql("next_in_order"), named))
