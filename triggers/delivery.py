"""What a hook is made of: the delivery that came, and the reader that says which events it means.

Another kind of delivery (notifications of an object store, say) is one class in a file of its own, given as
`Webhook("name", verify=..., read=ThatReader())`:

- `verify` (`triggers.signatures.Verifier`) tells the right sender from anybody else, before anything is parsed.
- `read` gets a delivery whose sender is known and returns its events, in order, or an `Answer`: a handshake that wants
  to be answered with words of its own. An empty list is a delivery that means nothing (a ping): 204.

What `read` returns is accepted in one transaction and answered 202, or 200 for a repeat. `InvalidEvent` is answered
with its status; a reader raises nothing else. It may wait for the network (a certificate, a confirmation), bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from triggers.event import Event
from triggers.headers import Headers, fold
from triggers.senders import Sender


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to `POST /hooks/HOOK`. `headers` are folded: lower-case names (`triggers.headers.fold`).

    `vouched` are the headers that may name the delivery, best first: those that its verified sender sets itself.
    `sender` is that provider; where no scheme tells, the one whose headers these are. `dry`: nobody sent it, somebody
    asks what would become of it (`tidemill explain`), so nothing may be told to the outside. `signed` is the digest of
    what its sender signed, where that does not include what names the delivery; else it is empty.
    """

    hook: str
    headers: Mapping[str, str]
    body: bytes
    received_at: datetime
    query: Mapping[str, str] = field(default_factory=dict)
    vouched: Sequence[str] = ()
    sender: Sender | None = None
    dry: bool = False
    signed: str = ""

    @classmethod
    def of(
        cls, hook: str, headers: Headers, body: bytes, received_at: datetime, query: Mapping[str, str] | None = None
    ) -> Delivery:
        """A request as it came."""
        return cls(hook=hook, headers=fold(headers), body=body, received_at=received_at, query=query or {})

    @property
    def source(self) -> str:
        """The `source` of events that have none of their own."""
        return f"tidemill:hooks/{self.hook}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sender wants to hear in a handshake. No event comes of it."""

    status: int = 204
    body: bytes = b""
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Reader(Protocol):
    """Says which events a delivery means. Two readers are the same if they compare equal: frozen dataclasses do."""

    async def read(self, delivery: Delivery) -> Sequence[Event] | Answer:
        """Raises `InvalidEvent`, and nothing else whatever was sent."""


@runtime_checkable
class Choosy(Reader, Protocol):
    """A reader that knows only some senders."""

    def check_sender(self, sender: Sender) -> None:
        """Raises `InvalidTrigger` where it cannot read what this provider sends."""
