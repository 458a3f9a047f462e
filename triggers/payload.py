"""Bytes to values: media types (RFC 9110 section 8.3) and JSON that can be stored again."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

from triggers.errors import InvalidEvent

# orjson reads 1,024 levels and writes 254: what is accepted must leave room for the envelopes it is written in.
_MOST_ORJSON_WRITES = 254
MAX_DEPTH = 200

# What may be a whole number of more than 64 bits, which orjson would round to a float.
_LONG, _LONG_BYTES = re.compile(r"[0-9]{19}"), re.compile(rb"[0-9]{19}")
_MOST_DIGITS = 21

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # noqa: S105
_SPACE = r"[ \t]*+"
_PARAMETER = rf'({_TOKEN})=({_TOKEN}|"(?:[^"\\]|\\.)*+")'
_MEDIA_TYPE = re.compile(rf"{_SPACE}({_TOKEN}/{_TOKEN})((?:{_SPACE};{_SPACE}(?:{_PARAMETER})?)*+){_SPACE}")
_CHARSET = re.compile(rf"charset={_SPACE}\"?([^\"; \t]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MediaType:
    """`essence` is `type/subtype` and `charset` its parameter, both in lower case."""

    essence: str
    charset: str | None = None

    @property
    def is_json(self) -> bool:
        """JSON itself or anything `+json` (RFC 6839)."""
        return self.essence in ("application/json", "text/json") or self.essence.endswith("+json")

    @property
    def is_utf8(self) -> bool:
        """UTF-8 or its subset, said or assumed."""
        return self.charset in (None, "utf-8", "utf8", "us-ascii")


def media_type(value: str) -> MediaType | None:
    """A Content-Type taken apart, or None when it is not one."""
    found = _MEDIA_TYPE.fullmatch(value)
    if found is None:
        return None
    charset = _CHARSET.search(found[2])
    return MediaType(found[1].lower(), charset[1].lower() if charset else None)


def parse_json(body: bytes | str, what: str) -> Any:
    """The value of a JSON text. Raises `InvalidEvent`: 400 for what is not JSON, 422 for what is too deep."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth" in error.msg:
            raise _too_deep(what) from None
        raise InvalidEvent(f"{what} is not JSON: {error}", status=400) from None
    if _may_be_deep(body) and _is_deep(value):
        raise _too_deep(what)
    if _LONG_BYTES.search(body) if isinstance(body, bytes) else _LONG.search(body):
        json.loads(body, parse_int=lambda digits: _kept(digits, what))
    return value


def decode(body: bytes, content_type: str | None) -> Any:
    """The data that `body` carries: None when empty, a JSON value, text for `text/*` in UTF-8, else the bytes.

    Raises `InvalidEvent` for JSON that is not (400) or is not in UTF-8 (415).
    """
    media = media_type(content_type) if content_type is not None else None
    if not body or media is None:
        return body or None
    if media.is_json:
        require_utf8(media)
        return parse_json(body, "the body")
    if media.essence.startswith("text/") and media.is_utf8:
        try:
            return body.decode()
        except UnicodeDecodeError:
            return body
    return body


def _kept(digits: str, what: str) -> int:
    """Raises `InvalidEvent` (422) for a whole number that would be stored as another one."""
    if len(digits) > _MOST_DIGITS or not -(2**63) <= int(digits) < 2**64:
        raise InvalidEvent(f"{what} holds {digits[:40]}, more than 64 bits can keep: send it as text")
    return 0


def require_utf8(media: MediaType) -> None:
    """Raises `InvalidEvent` (415) unless JSON comes in UTF-8, as RFC 8259 section 8.1 has it."""
    if not media.is_utf8:
        raise InvalidEvent(f"JSON is exchanged in UTF-8, not in {media.charset}: encode it so", status=415)


def _too_deep(what: str) -> InvalidEvent:
    return InvalidEvent(f"{what} is nested more than {MAX_DEPTH} levels deep: flatten it")


def _may_be_deep(body: bytes | str) -> bool:
    if isinstance(body, bytes):
        return body.count(b"[") + body.count(b"{") > MAX_DEPTH
    return body.count("[") + body.count("{") > MAX_DEPTH


def _is_deep(value: Any) -> bool:
    for _ in range(_MOST_ORJSON_WRITES - MAX_DEPTH):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False
