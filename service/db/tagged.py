"""Which runs have a tag, where an index can tell that in a moment."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import orjson

from service.db.reads import Reads

# The runs of a tag are read a tenth first, and the others where that took no longer than a moment: they may lie on as
# many pages as they are. Before it tells of any, the index is read through for all that have the tag.
MOST_TAGGED = 10_000
TENTH_S = 0.02
MOST_EXPECTED = 50_000


async def tagged(reads: Reads, tags: Sequence[str]) -> list[int] | None:
    """The runs that have all of these tags; None where those are too many, or too far apart. May raise
    `DatabaseUnavailable`.
    """
    wanted = orjson.dumps(list(tags)).decode()
    if not tags or await reads.expected("having_tags", wanted) > MOST_EXPECTED:
        return None
    until = monotonic() + TENTH_S
    for most in (MOST_TAGGED // 10, MOST_TAGGED):
        rows = await reads.fetch("tagged_runs", wanted, most + 1)
        if len(rows) <= most:
            return [row["id"] for row in rows]
        if monotonic() > until:
            break
    return None
