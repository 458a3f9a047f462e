"""HTTP header fields as the ground floor reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from triggers.errors import InvalidEvent

Headers = Mapping[str, str] | Iterable[tuple[bytes, bytes]]

_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*+)"[ \t]*+(?:;.*)?')
_BARE = re.compile(r"[!#-~][!-~]*+")
_ESCAPED = re.compile(r'\\(["\\])')
_LONGEST_ID = 1024


def fold(headers: Headers) -> dict[str, str]:
    """Values by lower-case name. Bytes are read as ISO 8859-1, repeats are joined (RFC 9110 section 5.3)."""
    pairs = headers.items() if isinstance(headers, Mapping) else _decoded(headers)
    folded: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        folded[name] = f"{folded[name]}, {value}" if name in folded else value
    return folded


def _decoded(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, str]]:
    return ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def on_the_wire(value: str) -> bytes:
    """The bytes of a header value as they were sent."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


def key_of(folded: Mapping[str, str], name: str) -> str | None:
    """The key a header carries, quoted (RFC 8941 section 3.3.3) or bare; None when it is absent or empty.

    For delivery ids and `Idempotency-Key`. Raises `InvalidEvent` (400) for anything but 1 to 1,024 visible characters.
    """
    value = folded.get(name.lower(), "").strip()
    if not value:
        return None
    quoted = _QUOTED.fullmatch(value)
    key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else value
    if not (quoted or _BARE.fullmatch(value)) or not 0 < len(key) <= _LONGEST_ID:
        raise InvalidEvent(f"header {name}: send 1 to {_LONGEST_ID} visible ASCII characters", status=400)
    return key
