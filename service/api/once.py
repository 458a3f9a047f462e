"""A body that came before is no new run because somebody gave it another name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from service.db.bodies import first_of
from service.inbox import PostgresInbox
from triggers.base import Arrival, Fate, Receipt
from triggers.errors import InboxBusy, PositionMoved


async def accept_once(inbox: PostgresInbox, hook: str, digest: str, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
    """Accept what one body became, `digest` being that of what its sender signed.

    Whether the body is new is decided by a compare-and-set in the transaction that accepts its events. The same
    delivery again is a repeat as any other; under another id it is an event that starts nothing, and says why.
    """
    known = arrivals[0].event.key
    position = first_of(hook, digest, known)
    try:
        return await inbox.accept(arrivals, [position])
    except PositionMoved:
        first = await inbox.position(position.scope, position.key)
    if first is None:
        raise InboxBusy("the body was forgotten while it was looked at: try again")
    if first != str(known):
        arrivals = [_starts_nothing(arrival, first) for arrival in arrivals]
    return await inbox.accept(arrivals)


def _starts_nothing(arrival: Arrival, first: str) -> Arrival:
    reason = (
        f"the same body came before, as event {first}, and its sender signs no delivery id: where it may come anew,"
        " say same_body=True on the Webhook"
    )
    offers = [
        replace(one, fate=Fate.IGNORED, reason=reason) if one.fate is not Fate.IGNORED else one
        for one in arrival.offers
    ]
    return replace(arrival, offers=offers)
