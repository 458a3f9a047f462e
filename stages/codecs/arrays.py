"""numpy arrays in numpy's own format, without pickle."""

from __future__ import annotations

import io
from typing import Any

from stages.codecs.base import Payload, Scratch, comes_from, in_memory
from stages.errors import NoCodec


class ArrayCodec:
    """See the module."""

    name = "npy"
    values = "numpy.ndarray of numbers, dates or text (stored as .npy)"
    reads_files = False

    def takes(self, kind: type) -> bool:
        """See `Codec`."""
        return comes_from(kind, "numpy", "ndarray")

    def encode(self, value: Any, scratch: Scratch) -> tuple[str, Payload]:
        """See `Codec`."""
        import numpy as np

        written = io.BytesIO()
        if value.dtype.hasobject:
            raise NoCodec("it holds Python objects: give it a dtype of numbers, dates or text")
        np.save(written, value, allow_pickle=False)
        return self.name, written.getvalue()

    def decode(self, label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
        """See `Codec`."""
        import numpy as np

        return np.load(io.BytesIO(in_memory(payload)), allow_pickle=False)


CODEC = ArrayCodec()
