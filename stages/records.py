"""The records of a Kafka micro-batch, as a stage gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import orjson

from stages.errors import Permanent
from triggers.base import Record

if TYPE_CHECKING:
    import polars as pl


class Records(Sequence[Record]):
    """The records of the run's micro-batch, in offset order. Nothing is decoded before it is asked for."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = tuple(records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        return Records(self._records[index]) if isinstance(index, slice) else self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def json(self) -> list[Any]:
        """Every value decoded as JSON; a tombstone (no value) is None. Raises `Permanent` naming the bad record."""
        return [_decoded(record) for record in self._records]

    def frame(self) -> pl.DataFrame:
        """One row for each record, its value a JSON object of columns; tombstones are left out.

        Columns a record lacks are null. Raises `Permanent` for a value that is no JSON object.
        """
        import polars as pl

        rows = [_row(record) for record in self._records if record.value is not None]
        return pl.DataFrame(rows, infer_schema_length=None)


def _decoded(record: Record) -> Any:
    if record.value is None:
        return None
    try:
        return orjson.loads(record.value)
    except orjson.JSONDecodeError as error:
        raise Permanent(f"{_place(record)}: its value is not JSON ({error})") from None


def _row(record: Record) -> dict[str, Any]:
    row = _decoded(record)
    if not isinstance(row, dict):
        raise Permanent(f"{_place(record)}: its value is JSON but no object, so it is no row of a frame: use json()")
    return row


def _place(record: Record) -> str:
    return f"record {record.topic}[{record.partition}]@{record.offset}"
