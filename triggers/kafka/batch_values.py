"""What the records of a micro-batch hold: which are rows, whose they are, and when they happened. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import orjson

from triggers.where import ABSENT, walk

# A number below this is seconds since the epoch, from here on milliseconds.
_MS_FROM = 1e11
_timestamp = attrgetter("timestamp")
_LATEST_MS = 253_402_300_799_999  # the end of the year 9999


class Held(Protocol):
    """As much of a record as is looked at here. `timestamp` is in milliseconds since the epoch, -1 when unknown."""

    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


R = TypeVar("R", bound=Held)


@dataclass(frozen=True, slots=True)
class Times:
    """When the records of a batch happened, in milliseconds since the epoch (None: no record says).

    Nothing is expected any more from before `watermark`; `late` records came all the same. `ahead` records were so far
    ahead of the clock here that theirs is wrong: they count for none of the others.
    """

    first: int | None = None
    last: int | None = None
    watermark: int | None = None
    late: int = 0
    ahead: int = 0

    def as_data(self) -> dict[str, Any]:
        """As a part of the `data` of a micro-batch event."""
        return {
            "first": _told(self.first),
            "last": _told(self.last),
            "watermark": _told(self.watermark),
            "late": self.late,
            "ahead": self.ahead,
        }


def why_bad(value: bytes | None) -> str | None:
    """Why a value is no row; None where it is one, or absent (a tombstone)."""
    if value is None:
        return None
    try:
        row = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return f"not JSON: {error}"
    return None if isinstance(row, dict) else "not a JSON object"


def times_of(
    records: Sequence[Held], event_time: str, lateness_s: float, before: int | None, most_ms: float = _LATEST_MS
) -> Times:
    """The times of records that came after those of watermark `before`. None of them can be later than `most_ms`."""
    found, ahead = _believed(records, event_time, most_ms)
    if not found:
        return Times(watermark=before, ahead=ahead)
    first, last = min(found), max(found)
    reached = last - round(lateness_s * 1000)
    late = 0 if before is None or first >= before else sum(ms < before for ms in found)
    return Times(first, last, reached if before is None else max(reached, before), late, ahead)


def _believed(records: Sequence[Held], event_time: str, most_ms: float) -> tuple[list[int], int]:
    """The times that records tell, and how many of them are ahead of `most_ms`, which are left out."""
    if event_time == "timestamp":
        times = list(map(_timestamp, records))
        # What is usual is seen without a look at each.
        if times and min(times) >= 0 and max(times) <= min(most_ms, _LATEST_MS):
            return times, 0
    else:
        path = event_time.removeprefix("data.")
        times = [ms for record in records if (ms := _as_ms(_at(record.value, path))) is not None]
    told = [ms for ms in times if 0 <= ms <= _LATEST_MS]
    found = [ms for ms in told if ms <= most_ms]
    return found, len(told) - len(found)


def _as_ms(value: Any) -> int | None:
    """RFC 3339 text (without an offset: UTC), or a number of seconds or milliseconds since the epoch."""
    if isinstance(value, str):
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            return None
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value * 1000 if abs(value) < _MS_FROM else value)


def split(records: Sequence[R], by: str) -> dict[str | None, list[R]]:
    """Records by their key, keys in the order in which they came first."""
    found: dict[str | None, list[R]] = {}
    for record, key in zip(records, map(key_at(by), records), strict=True):
        found.setdefault(key, []).append(record)
    return found


def key_at(by: str) -> Callable[[Held], str | None]:
    """What tells the key of a record: its own as text (what is no text in base64), or a value in its data as JSON."""
    if by == "key":
        return lambda record: _as_text(record.key)
    path = by.removeprefix("data.")
    return lambda record: _as_key(_at(record.value, path))


def _as_text(key: bytes | None) -> str | None:
    if key is None:
        return None
    try:
        return key.decode()
    except UnicodeDecodeError:
        return f"base64:{base64.b64encode(key).decode()}"


def _as_key(value: Any) -> str | None:
    if value is ABSENT or value is None:
        return None
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:  # it is nested deeper than is written: nobody's key
        return None


def _at(value: bytes | None, path: str) -> Any:
    if value is None:
        return ABSENT
    try:
        return walk(path, orjson.loads(value))
    except orjson.JSONDecodeError:
        return ABSENT


def _told(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
