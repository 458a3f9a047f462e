"""Tumbling windows over the records of one partition, folded so that doing it again changes nothing. Pure.

Time is what the records say, and only their order in the partition decides when a window closes: so the same records
always make the same windows, whoever reads them, however often and in whatever portions. What is not in the records
(that a partition has gone quiet) becomes part of the `Mark`, and the mark is stored with the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from triggers.stream.aggregates import Aggregate


@dataclass(slots=True)
class Row:
    """One key's aggregates in one window, with the offsets of the first and last of the `count` records in them."""

    first: int
    last: int
    count: int
    states: list[Any]


Rows = dict[bytes, Row]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one record adds to its window: one number or None for each aggregate. `key` is JSON."""

    offset: int
    time_ms: int
    key: bytes
    numbers: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a partition was folded, and from where that can be done again.

    `next`: the first offset not folded. `floor`: the first offset of any record in a window that is open.
    `watermark_ms`: the latest time seen; it closes windows. `open_records`: how many records are in open windows.
    `late` and `unreadable` count records that are in no window. `shape`: what was computed (`shape_of`). `topic` is the
    id of the topic ("": unknown), `life` how often it was made anew before.
    """

    next: int
    floor: int
    watermark_ms: int | None = None
    open_records: int = 0
    late: int = 0
    unreadable: int = 0
    shape: str = ""
    topic: str = ""
    life: int = 0

    def as_position(self) -> str:
        """As the inbox stores it."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def of(cls, position: str) -> Mark:
        """What `as_position` made; a bare offset stands for nothing folded yet."""
        value = orjson.loads(position)
        return cls(**value) if isinstance(value, dict) else cls(next=value, floor=value)


@dataclass(frozen=True, slots=True)
class Closed:
    """A window that gets no more records. `rows` are in the order of their keys."""

    start_ms: int
    rows: Rows


@dataclass(frozen=True, slots=True)
class Cut:
    """What happened since the last cut: the windows that closed, the rows that changed, and how far it goes."""

    closed: Sequence[Closed]
    touched: Sequence[tuple[int, bytes]]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Shape:
    """What the windows are: their size, how long they wait for the late, and what is computed in them."""

    window_ms: int
    grace_ms: int
    aggregates: Mapping[str, Aggregate]
    digest: str

    def start_of(self, time_ms: int) -> int:
        """Where the window begins that a record of this time is in."""
        return time_ms - time_ms % self.window_ms

    def closes_at(self, start_ms: int) -> int:
        """The watermark that closes a window."""
        return start_ms + self.window_ms + self.grace_ms

    def is_closed(self, start_ms: int, watermark_ms: int | None) -> bool:
        """Whether a window gets no more records at that watermark."""
        return watermark_ms is not None and self.closes_at(start_ms) <= watermark_ms

    def values(self, row: Row) -> dict[str, Any]:
        """The results of a row's aggregates, by name."""
        return {name: one.result(row.states[at]) for at, (name, one) in enumerate(self.aggregates.items())}


@dataclass(slots=True)
class Windows:
    """The windows of one partition that are open, and those that have closed since the last cut.

    `mark` is how far it was, `reached` where reading begins. Records from there to `mark.next` are folded again: those
    of windows that were closed then are passed over, and a row that holds a record already stays as it is. `topic_id`
    is that of the topic as it is read now, where the broker tells it.
    """

    shape: Shape
    mark: Mark
    reached: int
    open: dict[int, Rows] = field(default_factory=dict)
    sealed: list[Closed] = field(default_factory=list)
    sealed_rows: int = 0
    topic_id: str = ""
    next: int = field(init=False)
    late: int = field(init=False)
    unreadable: int = field(init=False)
    watermark_ms: int | None = field(init=False)
    _due_ms: int | None = None
    _touched: set[tuple[int, bytes]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.next, self.late, self.unreadable = self.mark.next, self.mark.late, self.mark.unreadable
        self.watermark_ms = self.mark.watermark_ms
        self._set_due()

    def restore(self, rows: Iterable[tuple[int, bytes, Row]]) -> None:
        """Take the rows of windows that are open from where they were kept."""
        for start_ms, key, row in rows:
            if not self._is_closed(start_ms):
                self.open.setdefault(start_ms, {})[key] = row
        self._set_due()

    def fold(self, reading: Reading) -> bool:
        """Add a record to its window. False: it is late, and was not known to be."""
        is_new = self._reach(reading.offset)
        start_ms = self.shape.start_of(reading.time_ms)
        if self._is_closed(start_ms):
            self.late += is_new
            return not is_new
        self._add(start_ms, reading)
        if self.watermark_ms is None or reading.time_ms > self.watermark_ms:
            self.watermark_ms = reading.time_ms
            self._seal()
        return True

    def refuse(self, offset: int) -> bool:
        """Count a record that cannot be read. False: that was done before."""
        is_new = self._reach(offset)
        self.unreadable += is_new
        return is_new

    def close_all(self) -> None:
        """Close every window: nothing more is expected in them."""
        if self.open and not self.is_behind:
            self.watermark_ms = self.shape.closes_at(max(self.open))
            self._seal()

    @property
    def is_behind(self) -> bool:
        """Whether it still folds again what was folded before: then it is less than its mark says."""
        return self.reached < self.mark.next

    def cut(self) -> Cut | None:
        """Take out what has closed, with all that must be stored with it. None: there is nothing to store."""
        mark = self.mark if self.is_behind else self._mark()
        if mark == self.mark:
            return None
        cut = Cut(self.sealed, sorted(at for at in self._touched if at[0] in self.open), mark)
        self.mark, self.sealed, self.sealed_rows, self._touched = mark, [], 0, set()
        return cut

    def _reach(self, offset: int) -> bool:
        is_new = offset >= self.next
        self.reached = max(self.reached, offset + 1)
        self.next = max(self.next, offset + 1)
        return is_new

    def _add(self, start_ms: int, reading: Reading) -> None:
        rows = self.open.setdefault(start_ms, {})
        if len(self.open) == 1 or self._due_ms is None or self.shape.closes_at(start_ms) < self._due_ms:
            self._set_due()
        row = rows.get(reading.key)
        if row is None:
            states = [one.begin() for one in self.shape.aggregates.values()]
            row = rows[reading.key] = Row(reading.offset, -1, 0, states)
        if reading.offset <= row.last:
            return
        row.last = reading.offset
        row.count += 1
        for at, (one, number) in enumerate(zip(self.shape.aggregates.values(), reading.numbers, strict=True)):
            if number is not None:
                row.states[at] = one.fold(row.states[at], number)
        self._touched.add((start_ms, reading.key))

    def _is_closed(self, start_ms: int) -> bool:
        return self.shape.is_closed(start_ms, self.watermark_ms)

    def _seal(self) -> None:
        if self._due_ms is None or self.watermark_ms is None or self.watermark_ms < self._due_ms:
            return
        for start_ms in sorted(start for start in self.open if self._is_closed(start)):
            rows = self.open.pop(start_ms)
            self.sealed.append(Closed(start_ms, dict(sorted(rows.items()))))
            self.sealed_rows += len(rows)
        self._set_due()

    def _set_due(self) -> None:
        self._due_ms = self.shape.closes_at(min(self.open)) if self.open else None

    def _mark(self) -> Mark:
        rows = [row for rows in self.open.values() for row in rows.values()]
        return Mark(
            next=self.next,
            floor=min((row.first for row in rows), default=self.next),
            watermark_ms=self.watermark_ms,
            open_records=sum(row.count for row in rows),
            late=self.late,
            unreadable=self.unreadable,
            shape=self.shape.digest,
            topic=self.topic_id or self.mark.topic,
            life=self.mark.life,
        )


def believable(mark: Mark, shape: Shape, rows: Iterable[tuple[int, Row]]) -> bool:
    """Whether rows that were kept elsewhere are those of `mark`, so that nothing before `mark.next` must be read again.

    A row is always what some first records of the partition make of it: an older one holds fewer records, a newer one
    a later offset. So when no row is newer and together they hold all records, each of them is the one.
    """
    found = [row for start_ms, row in rows if not shape.is_closed(start_ms, mark.watermark_ms)]
    return (
        mark.shape == shape.digest
        and all(row.last < mark.next for row in found)
        and sum(row.count for row in found) == mark.open_records
    )
