"""What goes on record of a request that does something: gathered while it is served, written with what it does.

The note of a request is written in the transaction of its first write, by `service.inbox`, whoever makes that write. So
nothing is done without a note of it, and no handler has to think of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from service.callers import Caller

MOST_TEXT = 300
MOST_FIELDS = 30
# What events and runs are given is kept with them, where retention and masking know of it.
ELSEWHERE = frozenset(
    {"params", "data", "payload", "event", "body", "headers", "metrics", "token", "api_token", "next", "artifacts"}
)


@dataclass(frozen=True, slots=True)
class Note:
    """One row of the audit log. `said`: the name under which it is recorded elsewhere. `answer` is an HTTP status."""

    request: UUID
    caller: Caller
    address: str
    action: str
    object: str
    answer: int
    run_id: int | None = None
    said: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Acting:
    """A request under way. Once its note was taken it is not written again, and nothing else of the request is told."""

    note: Note
    mask: Callable[[Mapping[str, Any]], dict[str, Any]]
    taken: bool = False

    def tell(self, fields: Mapping[str, Any]) -> None:
        """Add what was asked for, in short."""
        said = fields.get("by")
        plain = {name: one for name, value in fields.items() if (one := _plain(name, value)) is not None}
        self.note = replace(
            self.note,
            said=said if isinstance(said, str) else self.note.said,
            detail={**self.note.detail, **self.mask(dict(list(plain.items())[:MOST_FIELDS]))},
        )

    def take(self) -> Note | None:
        """The note, the first time."""
        if self.taken:
            return None
        self.taken = True
        return self.note

    def give_back(self) -> None:
        """What was to be noted came to nothing."""
        self.taken = False


ACTING: ContextVar[Acting | None] = ContextVar("acting", default=None)


def tell(fields: Mapping[str, Any]) -> None:
    """Add to the note of the request under way, if it is one that is noted."""
    acting = ACTING.get()
    if acting is not None:
        acting.tell(fields)


def untold() -> Acting | None:
    """The request under way, if nobody has taken its note yet: whoever asks writes it, or gives it back."""
    acting = ACTING.get()
    return None if acting is None or acting.take() is None else acting


def _plain(name: str, value: Any) -> Any:
    """A field as it may be noted, or None."""
    if name in ELSEWHERE or name == "by" or value in (None, "", []):
        return None
    if isinstance(value, str):
        return value[:MOST_TEXT]
    if isinstance(value, bool | int | float):
        return value
    return _several(value) if isinstance(value, list) else None


def _several(given: list[Any]) -> list[str | bool | int | float]:
    kept: list[str | bool | int | float] = []
    left = MOST_TEXT
    for one in given:
        if isinstance(one, str | bool | int | float):
            left -= len(str(one))
            if left < 0:
                return [*kept, "..."]
            kept.append(one)
    return kept
