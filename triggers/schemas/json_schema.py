"""JSON framed for a schema registry. It is read, and not validated: that is what gates are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triggers.kafka.values import read_json

if TYPE_CHECKING:
    from triggers.schemas.registry import Decode, Schema


def decoder(schema: Schema) -> Decode:
    """How to read a payload."""
    return _decode


def _decode(payload: bytes) -> Any:
    return read_json(payload).data
