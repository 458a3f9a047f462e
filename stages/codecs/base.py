"""Codecs: how a value becomes bytes and a value again. A new one is one new module here with a `CODEC`.

Never pickle: what is read back can only be data, or an object of a type its codec trusts.
"""

from __future__ import annotations

import pkgutil
import tempfile
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from stages.errors import NoCodec, Undecodable

Payload = bytes | Path
# Of so many types the codec is remembered: a stage may make a new one each time.
TYPES = 256


class Scratch:
    """A folder of one attempt, made when first asked for and removed with all its content at the end."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    def place(self) -> Path:
        """A new, empty folder in it."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="tidemill-", ignore_cleanup_errors=True)
        return Path(tempfile.mkdtemp(dir=self._folder.name))

    def remove(self) -> None:
        """Remove what was made. Safe to call twice."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class Codec(Protocol):
    """One way to store the values of some types, under the label `name` or `name:detail`.

    `values` says which, for people. With `reads_files` it is given files to decode, not bytes. Encoding is
    deterministic: the same value gives the same bytes.
    """

    name: str
    values: str
    reads_files: bool

    def takes(self, kind: type) -> bool:
        """Whether values of this type are its own. Looks at names: no library is imported to say no."""

    def encode(self, value: Any, scratch: Scratch) -> tuple[str, Payload]:
        """The label, and the bytes or a file that holds them. Raises `NoCodec` saying what to return instead."""

    def decode(self, label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
        """A fresh value, of the type `wanted` says where it can (None: as it was). Raises `Undecodable`."""


@runtime_checkable
class Handing(Protocol):
    """What a codec offers besides where one value in memory can be handed to many stages.

    `form` tells apart what one artifact may be decoded to, such as a frame of one library or of another.
    """

    def form(self, label: str, wanted: Any) -> str:
        """The form that the annotation `wanted` asks for (None: as it was). Raises `Undecodable`."""

    def memory_bytes(self, value: Any) -> int | None:
        """What a value takes in memory; None where it cannot be kept."""

    def copy_of(self, value: Any, payload: bytes) -> Any | None:
        """A copy that shares no memory with `value`; None unless its encoded `payload` decodes to exactly that."""

    def hand_over(self, value: Any, wanted: Any) -> Any:
        """A kept value for one more stage, as it wants it. Whatever it does to it, the kept one stays as it is."""


@cache
def codecs() -> dict[str, Codec]:
    """Every codec by its name."""
    found = (one.name for one in pkgutil.iter_modules([str(Path(__file__).parent)]) if one.name != "base")
    loaded = [import_module(f"stages.codecs.{name}").CODEC for name in found]
    return {codec.name: codec for codec in loaded}


@lru_cache(TYPES)
def codec_for(kind: type) -> Codec | None:
    """The codec that stores values of a type, or None."""
    return next((codec for codec in codecs().values() if codec.takes(kind)), None)


@lru_cache(256)
def codec_of(label: str) -> Codec:
    """The codec that wrote a label. Raises `Undecodable`."""
    codec = codecs().get(label.partition(":")[0])
    if codec is None:
        raise Undecodable(
            f"no codec {label!r} here; there are {', '.join(codecs())}: was it written by a newer version?"
        )
    return codec


def encode(value: Any, scratch: Scratch, what: str = "this") -> tuple[str, Payload]:
    """The label and bytes of a value. Raises `NoCodec` naming `what` it is (`stage 'train'`) and what can be stored."""
    kind: Any = type(value)
    codec = codec_for(kind)
    if codec is None:
        known = "; ".join(codec.values for codec in codecs().values())
        raise NoCodec(f"{what} returned a value of type {spelled(kind)}, which no codec stores; return one of: {known}")
    try:
        return codec.encode(value, scratch)
    except NoCodec as error:
        raise NoCodec(f"{what} returned a value of type {spelled(kind)}, but {error}") from error.__cause__


def decode(label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
    """A fresh value out of what `encode` made. Raises `Undecodable`."""
    return codec_of(label).decode(label, payload, wanted, scratch)


def spelled(kind: type) -> str:
    """A type's dotted name."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def comes_from(kind: type, package: str, *names: str) -> bool:
    """Whether a type is, or derives from, one of a package's, told by names alone."""
    return any(base.__name__ in names and base.__module__.partition(".")[0] == package for base in kind.__mro__)


def in_memory(payload: Payload) -> bytes:
    """The bytes of a payload."""
    return payload.read_bytes() if isinstance(payload, Path) else payload
