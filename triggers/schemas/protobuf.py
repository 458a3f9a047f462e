"""Protobuf payloads as JSON, by protobuf's own mapping, with the fields named as in the schema.

A registry holds the text of a `.proto` file. protoc compiles it, once, in a process of its own.
"""

from __future__ import annotations

import errno
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from triggers import faults
from triggers.errors import InvalidEvent
from triggers.schemas.bounds import MOST_VALUES

if TYPE_CHECKING:
    from triggers.schemas.registry import Decode, Schema

_MAIN = "tidemill_registered_schema.proto"
_PROTOC_S = 60.0
# What is wrong with a name, and not with the disk.
_NO_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}


def decoder(schema: Schema) -> Decode:
    """How to read a payload. Blocks while protoc runs. Raises `InvalidEvent` for a schema that does not compile."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    files = descriptor_pb2.FileDescriptorSet.FromString(_compiled(schema))
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    [main] = [one for one in files.file if one.name == _MAIN]
    widest = max((_widest(message) for one in files.file for message in one.message_type), default=1)
    return partial(_decode, pool, main, widest)


def _widest(message: Any) -> int:
    """The most fields that it, or a message declared inside of it, has."""
    return max(len(message.field) + 1, *(_widest(one) for one in message.nested_type), 1)


def _compiled(schema: Schema) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tidemill-schema-") as name:
        folder = Path(name)
        for path, text in {**schema.references, _MAIN: schema.text}.items():
            _write(folder, path, text)
        out = folder / "compiled"
        code, said = _protoc(f"-I{folder}", f"--descriptor_set_out={out}", "--include_imports", _MAIN)
        if code:
            lines = said.decode(errors="replace").splitlines()
            told = "; ".join(line.replace(f"{folder / _MAIN}:", "line ") for line in lines if line.startswith(name))
            raise InvalidEvent(f"protoc does not compile it: {told[:400]}")
        return out.read_bytes()


def _protoc(*arguments: str) -> tuple[int, bytes]:
    """Its exit code and what it complains of."""
    command = [sys.executable, "-m", "grpc_tools.protoc", *arguments]
    faults.reach_in_thread("protoc.start")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            faults.reach_in_thread("protoc.started")
            _, said = process.communicate(timeout=_PROTOC_S)
        except subprocess.TimeoutExpired:
            raise InvalidEvent(f"protoc did not compile it within {_PROTOC_S:g} s") from None
        finally:
            process.kill()
        return process.returncode, said


def _write(folder: Path, name: str, text: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name in ("", "compiled"):
        raise InvalidEvent(f"it refers to {name[:100]!r}, which is no name of a file to import")
    target = folder / path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_NAME:
            raise
        told = getattr(error, "strerror", None) or error
        raise InvalidEvent(f"it refers to {name[:100]!r}, which cannot be the name of a file: {told}") from None


def _decode(pool: Any, main: Any, widest: int, payload: bytes) -> Any:
    from google.protobuf import json_format, message, message_factory

    indexes, rest = _indexes(payload)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(_named(main, indexes)))
    try:
        found = kind.FromString(rest)
        # A message inside of another takes two bytes at least, and each of its fields is told.
        if (len(rest) // 2 + 1) * widest + len(rest) > MOST_VALUES:
            _left_after(found, MOST_VALUES)
        return json_format.MessageToDict(
            found,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
            descriptor_pool=pool,
        )
    except (message.DecodeError, json_format.Error, ValueError, TypeError, RecursionError) as error:
        raise InvalidEvent(f"not protobuf of its schema: {error}") from None


def _left_after(found: Any, left: int) -> int:
    """How many more values there may be after all those of a message. Raises `InvalidEvent` where it has too many."""
    left -= len(found.DESCRIPTOR.fields) + 1
    for _, value in found.ListFields():
        if isinstance(value, (str, bytes, int, float)):
            continue
        if hasattr(value, "ListFields"):
            left = _left_after(value, left)
            continue
        left -= len(value)
        for one in value.values() if hasattr(value, "values") else value:
            if not hasattr(one, "ListFields"):
                break
            left = _left_after(one, left)
    if left < 0:
        raise InvalidEvent(f"its value has more than {MOST_VALUES} values in it: send it in parts")
    return left


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
