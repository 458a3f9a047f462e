"""Train: what a model may have seen, and whether the same training gives the same model again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from stages.artifacts import digest_of
from stages.codecs.base import Scratch, encode, in_memory
from stages.errors import Permanent

if TYPE_CHECKING:
    import polars as pl


def time_holdout(frame: pl.DataFrame, *, at: str, days: float, gap_h: float = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split by time: everything before, and the last `days` days. Raises `Permanent` when one side is empty.

    The last `gap_h` hours before the hold-out are left out of both: their labels were not known when it began, so a
    model trained at that moment could not have used them.
    """
    import polars as pl

    last = frame[at].max()
    if not isinstance(last, datetime):
        raise Permanent(f"nothing to split by time: column {at!r} holds no instant")
    begins = last - timedelta(days=days)
    before = frame.filter(pl.col(at) < begins - timedelta(hours=gap_h))
    held_out = frame.filter(pl.col(at) >= begins)
    if before.is_empty() or held_out.is_empty():
        raise Permanent(
            f"{frame.height} rows up to {last!s} do not reach back {days} days: hold out less, or ingest more"
        )
    return before, held_out


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep native libraries (OpenMP, BLAS) to one thread, so that sums are added up in one order on every machine."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        yield


def artifact_digest(value: Any) -> str:
    """The digest under which the artifact store holds `value`: equal models have equal digests."""
    with Scratch() as scratch:
        _, payload = encode(value, scratch)
        return digest_of(in_memory(payload))
