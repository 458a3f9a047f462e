"""What entries of the run log have in common."""

from __future__ import annotations

from typing import Any


def held(key: str | None, pool: str | None) -> dict[str, Any]:
    """The key and the pool of a run, where it has them: enough to count, from the log alone, how many ran at once."""
    return {name: value for name, value in (("key", key), ("pool", pool)) if value is not None}
