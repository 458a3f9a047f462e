"""Evidence that may be kept with a run: plain JSON, and no larger than a row should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

LIMIT_BYTES = 65_536
# How many items of a list and how many characters of a text are left: the first that makes it fit.
CUTS = ((100, 2000), (20, 500), (5, 100), (1, 50))
MOST_NAMES = 100


def plain_json(evidence: Mapping[str, Any]) -> bytes:
    """Evidence as JSON can hold it; what it has no word for is told as text."""
    told = dict(evidence)
    try:
        return orjson.dumps(told, str, orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        # Integers beyond 64 bits, halves of surrogate pairs, circles.
        return orjson.dumps({"told": str(told).encode("utf-8", "replace").decode()})


def bounded(told: bytes) -> dict[str, Any]:
    """Evidence from its JSON, shortened where it is larger than `LIMIT_BYTES`: `cut` then says what from."""
    whole: dict[str, Any] = orjson.loads(told)
    if len(told) <= LIMIT_BYTES:
        return whole
    note = f"shortened: the whole evidence is {len(told):,} bytes, and {LIMIT_BYTES:,} are kept with the run"
    for items, characters in CUTS:
        short = {"cut": note, **_shortened(whole, items, characters)}
        if len(orjson.dumps(short)) <= LIMIT_BYTES:
            return short
    names = [_text(name, 50) for name in list(whole)[:MOST_NAMES]]
    return {"cut": f"{note}; it has {len(whole):,} parts, of which these are the first", "parts": names}


def _shortened(value: Any, items: int, characters: int) -> Any:
    if isinstance(value, dict):
        return {name: _shortened(one, items, characters) for name, one in value.items()}
    if isinstance(value, list):
        left = len(value) - items
        first = [_shortened(one, items, characters) for one in value[:items]]
        return [*first, f"and {left:,} more"] if left > 0 else first
    return _text(value, characters) if isinstance(value, str) else value


def _text(value: str, characters: int) -> str:
    left = len(value) - characters
    return f"{value[:characters]} (and {left:,} more characters)" if left > 0 else value
