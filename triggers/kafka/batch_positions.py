"""What the inbox holds of a partition of micro-batches, as text: `25@MS`, or `25~LIFE@MS`, or `25~LIFE~TOPIC-ID@MS`."""

from __future__ import annotations


def position_of(next_offset: int, watermark_ms: int | None, life: int = 0, topic_id: str = "") -> str:
    """Where to read on, how often its topic was made anew (where it was), the topic's id (where the broker tells it),
    and the watermark of what was read, if it has one.
    """
    parts = [str(next_offset), *([str(life)] if life or topic_id else []), *([topic_id] if topic_id else [])]
    told = "~".join(parts)
    return told if watermark_ms is None else f"{told}@{watermark_ms}"


def offset_of(position: str) -> int:
    """Where to read on from a position."""
    return int(_parts(position)[0])


def life_of(position: str) -> int:
    """How often the topic was made anew before."""
    return int(_parts(position)[1] or 0)


def topic_of(position: str) -> str:
    """The id of the topic that the position is of, "" where it is not told."""
    return _parts(position)[2]


def watermark_of(position: str) -> int | None:
    """The watermark that goes with a position."""
    _, _, watermark_ms = position.partition("@")
    return int(watermark_ms) if watermark_ms else None


def _parts(position: str) -> list[str]:
    return [*position.partition("@")[0].split("~"), "", ""]
