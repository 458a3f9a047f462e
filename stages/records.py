"""The records of a micro-batch, as a stage gets them."""

from __future__ import annotations

import logging
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import orjson

from stages.columns import misfits
from stages.errors import Permanent
from triggers.base import Bad, Record

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

BATCH = ("batch", "records")
"""What a parameter is called that takes the micro-batch in the shape it is annotated with."""

_SHOWN_BAD = 5
_INSTEAD = "take list[dict], list[Model] or list[Record] and make columns of one kind yourself"
_FRAMES = {("polars", "DataFrame"): "frame", ("pyarrow", "Table"): "table"}
logger = logging.getLogger("tidemill.stage.records")


class Records(Sequence[Record]):
    """The records of the run's micro-batch, in offset order. Nothing is decoded before it is asked for.

    Where a value is no JSON object, `bad` decides: `fail` raises `Permanent` when it is decoded; otherwise it is left
    out, `left_out` says why, and a warning goes to the stage's log.
    """

    def __init__(self, records: Sequence[Record], bad: Bad = "fail") -> None:
        self._records = records
        self._bad = bad
        self.left_out: dict[int, str] = {}

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> Record | Records:
        return Records(self._records[index], self._bad) if isinstance(index, slice) else self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def values(self) -> list[bytes | None]:
        """Every value as its bytes; a tombstone (no value) is None. The quick way: no `Record` is made for it."""
        told = getattr(self._records, "values", None)
        return [record.value for record in self._records] if told is None else told()

    def json(self) -> list[Any]:
        """Every value decoded as JSON; a tombstone (no value) is None. Raises `Permanent` naming the bad record."""
        if self._bad != "fail":
            return [value for _, value in self._kept()]
        try:
            return [None if value is None else orjson.loads(value) for value in self.values()]
        except orjson.JSONDecodeError:
            return [_decoded(record) for record in self._records]

    def rows(self) -> list[dict[str, Any]]:
        """Every value that there is, as a JSON object. Raises `Permanent` for one that is none."""
        return [row for _, row in self._placed_rows()]

    def frame(self) -> pl.DataFrame:
        """One row for each record, its value a JSON object of columns; tombstones are left out.

        Columns a record lacks are null. Raises `Permanent` for a value that is no JSON object, for a number that is too
        large (one such record is left out where `bad` says so), and for a column of more than one kind.
        """
        import polars as pl

        try:
            return pl.DataFrame(self._table_rows(), infer_schema_length=None)
        except (pl.exceptions.PolarsError, ValueError, TypeError, OverflowError) as error:
            raise Permanent(f"the batch is no frame: {error}: {_INSTEAD}") from None

    def table(self) -> pa.Table:
        """The same as an Arrow table."""
        import pyarrow as pa

        rows = self._table_rows()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if not columns:
            return pa.table({"": [None] * len(rows)}).select([])
        try:
            return pa.table({name: [row.get(name) for row in rows] for name in columns})
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise Permanent(f"the batch is no Arrow table: {error}: {_INSTEAD}") from None

    def models(self, model: Any) -> list[Any]:
        """Every value that there is, as the pydantic `model`. Raises `Permanent` naming the first that does not fit."""
        from pydantic import ValidationError

        found = []
        for at, value in enumerate(self.values()):
            if value is None:
                continue
            try:
                found.append(model.model_validate_json(value))
            except ValidationError as error:
                self._refuse(at, f"{error.error_count()} wrong: {error.errors()[0]['msg']}")
        self._tell()
        return found

    def _table_rows(self) -> list[dict[str, Any]]:
        values, rows = self.values(), self._placed_rows()
        found = list(misfits([row for _, row in rows], [values[at] for at, _ in rows]))
        for one in found:
            if one.alone:
                self._refuse(rows[one.at][0], f"{one.why}: {_INSTEAD}")
        if any(one.alone for one in found):
            self._tell()
            alone = {one.at for one in found if one.alone}
            rows = [row for at, row in enumerate(rows) if at not in alone]
            found = list(misfits([row for _, row in rows], [values[at] for at, _ in rows]))
        if found:
            raise Permanent(f"{_place(self._records[rows[found[0].at][0]])}: {found[0].why}: {_INSTEAD}")
        return [row for _, row in rows]

    def _placed_rows(self) -> list[tuple[int, dict[str, Any]]]:
        """Each row with the number of its record in the batch."""
        if self._bad != "fail":
            return [(at, row) for at, row in self._kept() if row is not None]
        return [(at, self._row(at, value)) for at, value in enumerate(self.values()) if value is not None]

    def _kept(self) -> list[tuple[int, Any]]:
        kept = []
        for at, value in enumerate(self.values()):
            try:
                kept.append((at, None if value is None else self._row(at, value)))
            except Permanent as error:
                self.left_out[self._records[at].offset] = str(error)
        self._tell()
        return kept

    def _row(self, at: int, value: bytes) -> dict[str, Any]:
        try:
            row = orjson.loads(value)
        except orjson.JSONDecodeError:
            row = None
        # Only a record that is wrong is made, to say which it is.
        return row if isinstance(row, dict) else _row(self._records[at])

    def _refuse(self, at: int, why: str) -> None:
        record = self._records[at]
        if self._bad == "fail":
            raise Permanent(f"{_place(record)}: {why}")
        self.left_out[record.offset] = f"{_place(record)}: {why}"

    def _tell(self) -> None:
        if self.left_out:
            shown = "; ".join(list(self.left_out.values())[:_SHOWN_BAD])
            logger.warning("%d of %d records were left out: %s", len(self.left_out), len(self), shown)


def is_shape(annotation: Any) -> bool:
    """Whether the records of a batch can be given to a parameter annotated so."""
    if annotation in (list, Sequence) or _frame(annotation):
        return True
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin not in (list, Sequence) or len(arguments) != 1:
        return False
    return arguments[0] is Record or _is_mapping(arguments[0]) or hasattr(arguments[0], "model_validate_json")


def shaped(records: Records, wanted: Any) -> Any:
    """The batch in the shape of an annotation that `is_shape`. Raises `Permanent`."""
    if (name := _frame(wanted)) is not None:
        return records.frame() if name == "frame" else records.table()
    arguments = typing.get_args(wanted)
    if arguments and arguments[0] is Record:
        return list(records)
    if not arguments or _is_mapping(arguments[0]):
        return records.rows()
    return records.models(arguments[0])


def _frame(annotation: Any) -> str | None:
    home = getattr(annotation, "__module__", "").partition(".")[0]
    return _FRAMES.get((home, getattr(annotation, "__name__", "")))


def _is_mapping(annotation: Any) -> bool:
    kind = typing.get_origin(annotation) or annotation
    return annotation is Any or (isinstance(kind, type) and issubclass(kind, Mapping))


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
    return f"record {record.topic}[{record.place or record.partition}]" + ("" if record.place else f"@{record.offset}")
