"""Frames of polars and pyarrow as Parquet. Each side may annotate the library it likes."""

from __future__ import annotations

import io
from typing import Any

from stages.codecs.base import Payload, Scratch, comes_from, in_memory
from stages.errors import NoCodec, Undecodable
from stages.fitting import alternatives

COMPRESSION = "zstd"
_WANTED = {("polars", "DataFrame"): "polars", ("polars", "LazyFrame"): "lazy", ("pyarrow", "Table"): "arrow"}


class FrameCodec:
    """See the module."""

    name = "parquet"
    values = "polars.DataFrame and pyarrow.Table (stored as Parquet)"
    reads_files = False

    def takes(self, kind: type) -> bool:
        """See `Codec`."""
        return comes_from(kind, "polars", "DataFrame", "LazyFrame") or comes_from(kind, "pyarrow", "Table")

    def encode(self, value: Any, scratch: Scratch) -> tuple[str, Payload]:
        """See `Codec`."""
        written = io.BytesIO()
        if comes_from(type(value), "pyarrow", "Table"):
            import pyarrow.parquet as pq

            pq.write_table(value, written, compression=COMPRESSION)
            return f"{self.name}:arrow", written.getvalue()
        _check_polars(value)
        value.write_parquet(written, compression=COMPRESSION)
        return f"{self.name}:polars", written.getvalue()

    def decode(self, label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
        """See `Codec`."""
        library = _library(wanted) or label.partition(":")[2]
        data = io.BytesIO(in_memory(payload))
        if library == "arrow":
            import pyarrow.parquet as pq

            return pq.read_table(data)
        import polars as pl

        frame = pl.read_parquet(data)
        return frame.lazy() if library == "lazy" else frame

    def form(self, label: str, wanted: Any) -> str:
        """See `Handing`. A lazy frame is handed over out of a polars one."""
        library = _library(wanted) or label.partition(":")[2]
        return "polars" if library == "lazy" else library

    def memory_bytes(self, value: Any) -> int | None:
        """See `Handing`."""
        if comes_from(type(value), "polars", "LazyFrame"):
            return None
        size = value.nbytes if comes_from(type(value), "pyarrow", "Table") else value.estimated_size()
        return int(size)

    def copy_of(self, value: Any, payload: bytes) -> Any | None:
        """See `Handing`. A frame may lie in memory that its stage goes on using, such as an array of numpy's."""
        written = io.BytesIO()
        if comes_from(type(value), "pyarrow", "Table"):
            import pyarrow as pa
            import pyarrow.parquet as pq

            if not pq.read_schema(pa.BufferReader(payload)).equals(value.schema, check_metadata=True):
                return None
            with pa.ipc.new_stream(written, value.schema) as stream:
                stream.write_table(value)
            return pa.ipc.open_stream(written.getvalue()).read_all()
        import polars as pl

        if pl.read_parquet_schema(io.BytesIO(payload)) != value.schema:
            return None
        value.write_ipc(written, compression="uncompressed", compat_level=pl.CompatLevel.newest())
        written.seek(0)
        return pl.read_ipc(written)

    def hand_over(self, value: Any, wanted: Any) -> Any:
        """See `Handing`. Tables of pyarrow never change; frames of polars copy what they change when it is shared."""
        if comes_from(type(value), "pyarrow", "Table"):
            return value
        return value.lazy() if _library(wanted) == "lazy" else value.clone()


CODEC = FrameCodec()


def _check_polars(value: Any) -> None:
    if comes_from(type(value), "polars", "LazyFrame"):
        raise NoCodec("nothing is computed yet: return frame.collect()")
    objects = [name for name, dtype in value.schema.items() if str(dtype) == "Object"]
    if objects:
        raise NoCodec(f"its columns {', '.join(objects)} hold Python objects: cast them to a type of polars")


def _library(wanted: Any) -> str | None:
    """Which library an annotation names. Raises `Undecodable` when it names something that is no frame."""
    named = alternatives(wanted)
    for kind in named:
        if isinstance(kind, type):
            for (package, name), library in _WANTED.items():
                if comes_from(kind, package, name):
                    return library
    if wanted is None or any(not isinstance(kind, type) or kind in (Any, object) for kind in named):
        return None
    raise Undecodable(f"a frame was stored, but {wanted} is wanted: annotate polars.DataFrame or pyarrow.Table")
