"""The event of one object or folder that lies in a bucket now, asked for by its address."""

from __future__ import annotations

from datetime import datetime

from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.objects import Objects
from triggers.objects.event import event_of, landed
from triggers.objects.scan import Looker, looker_of


async def found_at(trigger: Objects, address: str, now: datetime) -> Event:
    """The event that a listing would make of what is at `address`, or under that key, be it complete or not.

    Raises `InvalidEvent` where nothing is there, or the trigger does not mean it; `SourceUnavailable`.
    """
    if not address:
        raise InvalidEvent(f"{trigger.name} makes events of objects: say which, with --path")
    looker = looker_of(trigger)
    url = address if "://" in address else looker.place.url(address)
    if not trigger.pattern.means(url):
        raise InvalidEvent(f"{trigger.name} would not see it: {url} is not like {trigger.url}")
    key = trigger.pattern.key_in(url)
    return await _folder(looker, key.rstrip("/"), now) if trigger.pattern.folders else await _object(looker, key)


async def _object(looker: Looker, key: str) -> Event:
    one = await looker.find(key)
    if one is None:
        raise InvalidEvent(f"there is no object {looker.place.url(key)}")
    return event_of(one)


async def _folder(looker: Looker, folder: str, now: datetime) -> Event:
    total = await looker.total(folder)
    at = total.newest if total.files else now
    return landed(looker.place, folder, total.digest, at=at, files=total.files, size_bytes=total.size_bytes)
