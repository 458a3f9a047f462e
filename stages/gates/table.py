"""One view of tabular outputs: polars and pyarrow frames, and lists of records (mappings or models)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from pydantic import BaseModel

from stages.codecs.base import comes_from, spelled

CHUNK_ROWS = 500


def is_polars(output: Any) -> bool:
    """Whether it is a polars frame."""
    return comes_from(type(output), "polars", "DataFrame")


def is_arrow(output: Any) -> bool:
    """Whether it is a pyarrow table."""
    return comes_from(type(output), "pyarrow", "Table")


def is_records(output: Any) -> bool:
    """Whether it is a list of mappings or models."""
    return isinstance(output, Sequence) and not isinstance(output, str | bytes) and all(map(_is_record, output))


def count_rows(output: Any) -> int:
    """How many rows, records or items. Raises TypeError for what has none."""
    if is_polars(output):
        return int(output.height)
    if is_arrow(output):
        return int(output.num_rows)
    if hasattr(output, "__len__"):
        return len(output)
    raise TypeError(f"a {spelled(type(output))} has no rows to count")


def chunks(output: Any) -> Iterator[list[Any]]:
    """The rows as mappings, a few at a time: whoever works through them lets other threads run in between."""
    if is_arrow(output):
        for batch in output.to_batches(max_chunksize=CHUNK_ROWS):
            yield batch.to_pylist()
    elif is_polars(output):
        for part in output.iter_slices(CHUNK_ROWS):
            yield part.to_dicts()
    else:
        for start in range(0, len(output), CHUNK_ROWS):
            yield list(output[start : start + CHUNK_ROWS])


def columns(output: Any) -> list[str] | None:
    """The columns of a frame; None for records, where each may have its own."""
    if is_polars(output):
        return list(output.columns)
    return list(output.column_names) if is_arrow(output) else None


def newest(output: Any, column: str) -> datetime | None:
    """The latest instant in a column, None where it holds none. A value without a zone is read as UTC.

    Raises KeyError for a missing column and TypeError for one that holds no instants.
    """
    if (known := columns(output)) is not None and column not in known:
        raise KeyError(f"there is no column {column!r}; there are {', '.join(known)}")
    return _instant(_maximum(output, column))


def _maximum(output: Any, column: str) -> Any:
    if is_polars(output):
        return output[column].max()
    if is_arrow(output):
        import pyarrow.compute as pc

        return pc.max(output[column]).as_py()
    if not is_records(output):
        raise TypeError(f"a {spelled(type(output))} has no column {column!r}")
    found = [row[column] if isinstance(row, Mapping) else getattr(row, column) for row in output]
    return max((instant for one in found if (instant := _instant(one)) is not None), default=None)


def _instant(value: Any) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time(), UTC)
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"it holds {value!r}, which is no instant")
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _is_record(row: Any) -> bool:
    return isinstance(row, Mapping | BaseModel)
