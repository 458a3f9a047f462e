"""Protobuf payloads as JSON, by protobuf's own mapping, with the fields named as in the schema.

A registry holds the text of a `.proto` file. protoc compiles it, once, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from triggers.errors import InvalidEvent

if TYPE_CHECKING:
    from triggers.schemas.registry import Decode, Schema

_MAIN = "tidemill_registered_schema.proto"
_PROTOC_S = 60.0


def decoder(schema: Schema) -> Decode:
    """How to read a payload. Blocks while protoc runs. Raises `InvalidEvent` for a schema that does not compile."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    files = descriptor_pb2.FileDescriptorSet.FromString(_compiled(schema))
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    [main] = [one for one in files.file if one.name == _MAIN]
    return partial(_decode, pool, main)


def _compiled(schema: Schema) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tidemill-schema-") as name:
        folder = Path(name)
        for path, text in {**schema.references, _MAIN: schema.text}.items():
            _write(folder, path, text)
        out = folder / "compiled"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--descriptor_set_out={out}"]
        try:
            done = subprocess.run(
                [*command, "--include_imports", _MAIN], capture_output=True, timeout=_PROTOC_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise InvalidEvent(f"protoc did not compile it within {_PROTOC_S:g} s") from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").splitlines()
            told = "; ".join(line.replace(f"{folder / _MAIN}:", "line ") for line in lines if line.startswith(name))
            raise InvalidEvent(f"protoc does not compile it: {told[:400]}")
        return out.read_bytes()


def _write(folder: Path, name: str, text: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name in ("", "compiled"):
        raise InvalidEvent(f"it refers to {name!r}, which is no name of a file to import")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def _decode(pool: Any, main: Any, payload: bytes) -> Any:
    from google.protobuf import json_format, message, message_factory

    indexes, rest = _indexes(payload)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(_named(main, indexes)))
    try:
        found = kind.FromString(rest)
        return json_format.MessageToDict(
            found,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            descriptor_pool=pool,
        )
    except (message.DecodeError, json_format.Error, ValueError, TypeError, RecursionError) as error:
        raise InvalidEvent(f"not protobuf of its schema: {error}") from None


def _named(main: Any, indexes: list[int]) -> str:
    """The full name of the message that the indexes lead to: one for each level of nesting."""
    names, below = ([main.package] if main.package else []), main.message_type
    for index in indexes:
        if not 0 <= index < len(below):
            raise InvalidEvent(f"its schema has no message {indexes}")
        names.append(below[index].name)
        below = below[index].nested_type
    return ".".join(names)


def _indexes(payload: bytes) -> tuple[list[int], bytes]:
    """Which message of the schema it is, and what comes after that. A lone zero is the first message."""
    count, at = _varint(payload, 0)
    if count == 0:
        return [0], payload[at:]
    if not 0 < count <= 100:
        raise InvalidEvent("not protobuf framed for a schema registry: its message indexes make no sense")
    found = []
    for _ in range(count):
        index, at = _varint(payload, at)
        found.append(index)
    return found, payload[at:]


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """A zigzag-encoded number and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(payload):
            break
        byte = payload[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
    raise InvalidEvent("not protobuf framed for a schema registry: its message indexes do not end")
