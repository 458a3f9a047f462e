"""The pool for reads reads: whatever writes has a fault point, and goes another way."""

from __future__ import annotations

import pytest

from service.db.reads import Reads
from service.errors import DatabaseUnavailable


async def test_who_only_reads_cannot_write(database: str) -> None:
    reads = Reads(database, size=1)
    await reads.open()
    try:
        with pytest.raises(DatabaseUnavailable, match="cannot execute UPDATE in a read-only transaction"):
            await reads.fetch("poke", 1)
        assert await reads.clock()
    finally:
        await reads.close()
