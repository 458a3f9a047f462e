"""Ingest: which landed files a run reads, what they must hold, and the digest of what was read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.errors import Permanent, Transient

if TYPE_CHECKING:
    import polars as pl
    from polars._typing import PolarsDataType


def landed_file(path: str, folder: Path) -> Path:
    """The file an event names. Raises `Permanent` when it is outside `folder`, `Transient` when it is not there.

    The name comes from outside, so it is resolved first: neither `..` nor a symlink leads out of `folder`.
    """
    found = Path(path).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise Permanent(f"{path}: outside of {folder}, where files land: publish a path below that folder")
    if not found.is_file():
        raise Transient(f"{path}: no such file in {folder}: it was taken away, or has not landed yet")
    return found


def newest_files(folder: Path, pattern: str, count: int) -> list[Path]:
    """The last `count` files by name (one of each name), oldest first. Raises `Transient` when none has landed."""
    files = {path.name: path for path in sorted(folder.glob(pattern)) if path.is_file()}
    if not files:
        raise Transient(f"nothing has landed as {folder}/{pattern} yet: the run waits and looks again", retry_after_s=5)
    return [files[name] for name in sorted(files)[-count:]]


def read_parquet(path: Path, schema: Mapping[str, PolarsDataType]) -> pl.DataFrame:
    """The columns of `schema` from one file, in its types. Raises `Permanent` naming the file and what is wrong."""
    import polars as pl

    try:
        return typed(pl.read_parquet(path), schema)
    except pl.exceptions.PolarsError as error:
        raise Permanent(f"{path}: not a Parquet file: {error}") from None
    except Permanent as error:
        raise Permanent(f"{path}: {error}") from None


def typed(frame: pl.DataFrame, schema: Mapping[str, PolarsDataType]) -> pl.DataFrame:
    """The columns of `schema`, in its order and types; others are dropped. Instants may come as RFC 3339 text.

    Raises `Permanent` for a missing column, and for a value its type cannot hold.
    """
    import polars as pl

    if missing := [name for name in schema if name not in frame.columns]:
        raise Permanent(f"missing columns: {', '.join(missing)}; there are: {', '.join(frame.columns) or 'none'}")
    try:
        return frame.select(_as(frame.schema[name], name, kind) for name, kind in schema.items())
    except pl.exceptions.PolarsError as error:
        raise Permanent(f"a value is not of its column's type: {error}") from None


def _as(held: pl.DataType, name: str, kind: PolarsDataType) -> pl.Expr:
    import polars as pl

    if isinstance(kind, pl.Datetime) and held == pl.String:
        return pl.col(name).str.to_datetime(time_unit=kind.time_unit, time_zone=kind.time_zone)
    return pl.col(name).cast(kind)


def require_rows(frame: pl.DataFrame, at_least: int, what: str) -> None:
    """Raise `Permanent` unless `frame` has `at_least` rows."""
    if frame.height < at_least:
        raise Permanent(f"{what}: {frame.height} rows where at least {at_least} are expected: is the file whole?")


def data_digest(frame: pl.DataFrame) -> str:
    """BLAKE2b-256 over column names, types and values: equal frames, equal digest, however they are held in memory."""
    digest = hashlib.blake2b(repr(list(frame.schema.items())).encode(), digest_size=32)
    for part in frame.iter_slices(50_000):
        # CSV, because the buffers behind nulls and chunks differ between equal frames.
        digest.update(part.write_csv(include_header=False, quote_style="non_numeric").encode())
    return digest.hexdigest()
