"""How the raw value of one setting becomes its type.

Each reader takes what a file, the environment or a flag gave and returns the value, or raises ValueError saying what
was expected. Strings are read everywhere, because the environment knows nothing else.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
E = TypeVar("E", bound=enum.StrEnum)

Reader = Callable[[Any], T]

ARTIFACT_SCHEMES = ("file", "s3", "gs", "az")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_PIPELINE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})")


def text(raw: Any) -> str:
    """Any text but the empty one."""
    if isinstance(raw, str) and raw.strip():
        return raw
    raise ValueError("text that is not empty")


def token(raw: Any) -> str:
    """A secret that travels in an HTTP header: visible ASCII without spaces (RFC 6750, section 2.1)."""
    if isinstance(raw, str) and raw and all("!" <= char <= "~" for char in raw):
        return raw
    raise ValueError("visible ASCII characters without spaces")


def whole(low: int, high: int) -> Reader[int]:
    """A whole number from `low` to `high`, both included."""

    def read(raw: Any) -> int:
        if isinstance(raw, (str, int)) and not isinstance(raw, bool):
            try:
                number = int(raw)
            except ValueError:
                number = low - 1
            if low <= number <= high:
                return number
        raise ValueError(f"a whole number from {low} to {high}")

    return read


def seconds(low: float, high: float) -> Reader[float]:
    """A number of seconds from `low` to `high`, both included."""

    def read(raw: Any) -> float:
        if isinstance(raw, (str, int, float)) and not isinstance(raw, bool):
            try:
                number = float(raw)
            except ValueError:
                number = low - 1
            if low <= number <= high:
                return number
        raise ValueError(f"a number of seconds from {low:g} to {high:g}")

    return read


def days(low: float, high: float) -> Reader[float]:
    """A number of days from `low` to `high`, both included."""

    def read(raw: Any) -> float:
        try:
            return seconds(low, high)(raw)
        except ValueError:
            raise ValueError(f"a number of days from {low:g} to {high:g}") from None

    return read


def flag(raw: Any) -> bool:
    """True or false."""
    word = str(raw).strip().lower() if isinstance(raw, (str, bool, int)) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("true or false")


def path(raw: Any) -> Path:
    """A path; `~` is the home folder of the user."""
    if isinstance(raw, Path):
        return raw
    try:
        return Path(text(raw)).expanduser()
    except (ValueError, RuntimeError):
        raise ValueError("a path") from None


def choice(kind: type[E]) -> Reader[E]:
    """One member of an enumeration, in any case."""

    def read(raw: Any) -> E:
        for member in kind:
            if isinstance(raw, str) and raw.strip().lower() == member.value.lower():
                return member
        raise ValueError("one of " + ", ".join(member.value for member in kind))

    return read


def several(one: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list, or a string with commas; what is given twice counts once."""

    def read(raw: Any) -> tuple[T, ...]:
        if isinstance(raw, str):
            raw = [part.strip() for part in raw.split(",") if part.strip()]
        if not isinstance(raw, (list, tuple)):
            raise ValueError("a list")
        return tuple(dict.fromkeys(one(part) for part in raw))

    return read


def some(one: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list that is not empty."""
    every = several(one)

    def read(raw: Any) -> tuple[T, ...]:
        found = every(raw)
        if not found:
            raise ValueError("at least one")
        return found

    return read


class Group(NamedTuple):
    """A group of people."""

    name: str
    people: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}={'+'.join(self.people)}"


def groups(raw: Any) -> tuple[Group, ...]:
    """Groups of people: a table of lists, or `group=person+person`, several with commas."""
    named: dict[str, Any] = dict(raw) if isinstance(raw, Mapping) else {}
    for part in several(str)(raw) if not isinstance(raw, Mapping) else ():
        name, _, people = part.partition("=")
        if name.strip() in named:
            raise ValueError(f"each group once, and {name.strip()} is there twice")
        named[name.strip()] = people.split("+")
    return tuple(_group(name.strip(), people) for name, people in named.items())


def _group(name: str, people: Any) -> Group:
    listed = people.split("+") if isinstance(people, str) else people
    if isinstance(listed, (list, tuple)) and all(isinstance(one, str) for one in listed):
        found = tuple(dict.fromkeys(one.strip() for one in listed if one.strip()))
        if name and found:
            return Group(name, found)
    raise ValueError("group=person+person, several with commas, such as ml-leads=kim+lee,ops=sam")


class Pair(NamedTuple):
    """A name and what it stands for."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def pair(raw: Any) -> Pair:
    """`name=value`."""
    name, equals, value = raw.partition("=") if isinstance(raw, str) else ("", "", "")
    if not (equals and name.strip() and value.strip()):
        raise ValueError("name=value, several with commas")
    return Pair(name.strip(), value.strip())


class Amount(NamedTuple):
    """So much of something that has a name."""

    name: str
    amount: float

    def __str__(self) -> str:
        return f"{self.name}={self.amount:g}"


def amounts(*, whole: bool) -> Reader[tuple[Amount, ...]]:
    """`name=amount`, several with commas, each name once; amounts above nothing, and whole numbers if so wanted."""

    def read(raw: Any) -> tuple[Amount, ...]:
        try:
            parts = [f"{name}={amount}" for name, amount in raw.items()] if isinstance(raw, Mapping) else raw
            found = several(_amount)(parts)
            fits = all(one.amount > 0 and (not whole or one.amount.is_integer()) for one in found)
        except ValueError:
            found, fits = (), False
        if fits and len({one.name for one in found}) == len(found):
            return found
        raise ValueError(
            f"name={'places' if whole else 'amount'}, several with commas, each name once, such as "
            + ("warehouse=4,gpu=1" if whole else "cpu=8,memory_gb=24,gpu=1")
        )

    return read


def _amount(raw: Any) -> Amount:
    name, equals, amount = str(raw).partition("=")
    if not equals or not _NAME.fullmatch(name.strip()) or not math.isfinite(float(amount)):
        raise ValueError("name=amount")
    return Amount(name.strip(), float(amount))


def pipeline(raw: Any) -> str:
    """Where a pipeline is found: `package.module:name`."""
    if isinstance(raw, str) and _PIPELINE.fullmatch(raw.strip()):
        return raw.strip()
    raise ValueError("package.module:name, such as examples.flights.pipeline:flights")


def servers(raw: Any) -> str:
    """`host:port`, several with commas."""
    parts = several(text)(raw)
    if not parts or not all(_is_server(part) for part in parts):
        raise ValueError("host:port, several with commas")
    return ",".join(parts)


def _is_server(part: str) -> bool:
    found = _SERVER.fullmatch(part)
    return found is not None and 0 < int(found[2]) < 65536


def network(raw: Any) -> str:
    """An address of the internet protocol, or a network of them."""
    import ipaddress

    try:
        found = ipaddress.ip_network(raw.strip() if isinstance(raw, str) else "")
    except ValueError:
        raise ValueError("an address such as 10.0.0.5, or a network such as 10.0.0.0/8") from None
    return str(found if found.num_addresses > 1 else found.network_address)


def http_url(raw: Any) -> str:
    """Where a daemon answers."""
    try:
        parts = urlsplit(raw if isinstance(raw, str) else "")
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if complete:
        return str(raw).rstrip("/")
    raise ValueError("a URL such as http://127.0.0.1:8400")


def postgres_url(raw: Any) -> str:
    """A libpq URL. Only its scheme is checked: hosts, sockets and options take many forms."""
    if isinstance(raw, str) and raw.startswith(("postgresql://", "postgres://")):
        return raw
    raise ValueError("a URL such as postgresql://user:password@host:5432/database")


def artifact_url(raw: Any) -> str:
    """Where artifacts are kept: an absolute `file:` URL or a bucket."""
    if not isinstance(raw, str) or not raw.startswith(tuple(f"{scheme}:" for scheme in ARTIFACT_SCHEMES)):
        raise ValueError("a URL such as file:///var/lib/tidemill or s3://bucket/prefix")
    parts = urlsplit(raw)
    if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
        raise ValueError("an absolute file URL, with three slashes: file:///var/lib/tidemill")
    if parts.scheme != "file" and not parts.netloc:
        raise ValueError(f"a bucket after {parts.scheme}://")
    return raw


def masked_url(value: str) -> str:
    """A URL as it may be shown: without its password, wherever it stands. Rather hides too much than too little."""
    value = re.sub(r"^([\w+.-]+://[^:/?#]*:).*@", r"\1****@", value, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", r"\1****", value, flags=re.IGNORECASE)
