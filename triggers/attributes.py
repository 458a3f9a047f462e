"""The types of CloudEvents 1.0 attributes (spec.md, "Type System"), and an `Event` made of checked ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from triggers.errors import InvalidEvent
from triggers.event import KEPT, Event, ExtensionValue
from triggers.payload import media_type

CORE_ATTRIBUTES = frozenset({"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema"})
# Postgres indexes ids, and an index entry holds 2,704 bytes.
_LONGEST_BYTES = 2_048
_KEPT = tuple(KEPT)
_INT32 = range(-(2**31), 2**31)

_NONCHARACTERS = "".join(chr(plane << 16 | 0xFFFE) + chr(plane << 16 | 0xFFFF) for plane in range(17))
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_EXTENSION_NAME = re.compile(r"[a-z0-9]++")

# RFC 3339 section 5.6. A leap second has no datetime and is refused.
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]++)?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])",
    re.IGNORECASE,
)

# RFC 3986 appendix A, with any bracketed literal for an address.
_NAME_CHARACTER = r"[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2}"
_PCHAR = rf"[:@]|{_NAME_CHARACTER}"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*+:"
_HOST = rf"(?:\[[0-9A-Za-z:.]++\]|(?:{_NAME_CHARACTER})*+)"
_AUTHORITY = rf"//(?:(?::|{_NAME_CHARACTER})*+@)?+{_HOST}(?::[0-9]*+)?+"
_TAIL = rf"(?:/|{_PCHAR})*+(?:\?(?:[/?]|{_PCHAR})*+)?+(?:#(?:[/?]|{_PCHAR})*+)?+"
_ROOTED = rf"(?:{_AUTHORITY}(?=[/?#]|\Z)|(?!//)){_TAIL}"
_URI = re.compile(rf"{_SCHEME}{_ROOTED}")
_URI_REFERENCE = re.compile(rf"(?:{_SCHEME}|(?![^/?#]*:)){_ROOTED}")


def make_event(attributes: Mapping[str, Any], data: Any, received_at: datetime) -> Event:
    """The event with these attributes, every one checked; None means unset. Raises `InvalidEvent` (422).

    An event that does not tell its `time` gets `received_at`.
    """
    present = {name: value for name, value in attributes.items() if value is not None}
    _check_version(present.get("specversion"))
    if str(present.get("source")).startswith(_KEPT):
        raise _kept(str(present["source"]))
    time = present.get("time")
    return Event(
        id=_required(present, "id"),
        source=_matching(_required(present, "source"), "source", _URI_REFERENCE, "a URI reference (RFC 3986)"),
        type=_required(present, "type"),
        time=received_at if time is None else timestamp(time),
        subject=_optional(present, "subject"),
        datacontenttype=_content_type(_optional(present, "datacontenttype")),
        dataschema=_matching(_optional(present, "dataschema"), "dataschema", _URI, "an absolute URI (RFC 3986)"),
        extensions={name: _extension(name, value) for name, value in present.items() if name not in CORE_ATTRIBUTES},
        data=data,
    )


def check_event(event: Event) -> Event:
    """The event, if its attributes are text that can be stored. Raises `InvalidEvent` (422)."""
    for name in ("id", "source", "type", "subject", "dataschema"):
        value = getattr(event, name)
        if value is not None:
            _text(name, value)
    for name, value in event.extensions.items():
        _extension(name, value)
    return event


def timestamp(value: Any) -> datetime:
    """An RFC 3339 time, in UTC, cut to microseconds. Raises `InvalidEvent`."""
    try:
        if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
            raise ValueError
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidEvent(f"time is {_shown(value)}: send an RFC 3339 time such as 2026-11-22T08:00:00Z") from None


def is_text(value: Any) -> bool:
    """Whether `value` may be an attribute of type String: non-empty, no control characters or noncharacters."""
    return isinstance(value, str) and value != "" and _FORBIDDEN.search(value) is None


def is_uri(value: str) -> bool:
    """Whether `value` is an absolute URI (RFC 3986)."""
    return _URI.fullmatch(value) is not None


def _kept(source: str) -> InvalidEvent:
    kept, what = next((one, what) for one, what in KEPT.items() if source.startswith(one))
    return InvalidEvent(f"source {kept}... is kept for {what}: use a source of yours")


def _check_version(version: Any) -> None:
    if version is None:
        raise InvalidEvent('specversion is missing: a CloudEvent says "1.0" there')
    if version != "1.0":
        raise InvalidEvent(f'specversion is {_shown(version)}: only "1.0" is understood')


def _required(present: Mapping[str, Any], name: str) -> str:
    if name not in present:
        raise InvalidEvent(f"{name} is missing: every CloudEvent needs id, source, type and specversion")
    return _text(name, present[name])


def _optional(present: Mapping[str, Any], name: str) -> str | None:
    return _text(name, present[name]) if name in present else None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidEvent(f"{name} is {_shown(value)}: send a string")
    if not is_text(value):
        raise InvalidEvent(
            f"{name} is empty or has control characters or noncharacters: send plain text or leave it out"
        )
    if len(value) * 4 > _LONGEST_BYTES and len(value.encode()) > _LONGEST_BYTES:
        raise InvalidEvent(f"{name} is longer than {_LONGEST_BYTES} bytes: shorten it")
    return value


def _matching(value: Any, name: str, pattern: re.Pattern[str], kind: str) -> Any:
    if value is not None and not pattern.fullmatch(value):
        raise InvalidEvent(f"{name} is {_shown(value)}: send {kind}, with other characters percent-encoded")
    return value


def _content_type(value: str | None) -> str | None:
    if value is not None and media_type(value) is None:
        raise InvalidEvent(f"datacontenttype is {_shown(value)}: send a media type such as application/json")
    return value


def _extension(name: str, value: Any) -> ExtensionValue:
    if name == "data" or not _EXTENSION_NAME.fullmatch(name):
        raise InvalidEvent(f"attribute {_shown(name)}: names are lower-case letters and digits, and not data")
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in _INT32:
        return value
    if isinstance(value, str) and not _FORBIDDEN.search(value):
        return value
    raise InvalidEvent(f"{name} is {_shown(value)}: send plain text, a 32-bit integer or a boolean")


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:80]}..."
