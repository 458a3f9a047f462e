"""The event of an object: the same one whether a listing, or any provider's notification, told of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.files.event import encode_path
from triggers.objects.place import ObjectPattern, Place, azure_account

Change = Literal["created", "removed", "changed"]

OBJECT = "dev.tidemill.object."
UNREADABLE = f"{OBJECT}unreadable"
FOLDER_LANDED = f"{OBJECT}folder-landed"
# Postgres indexes ids, and keys may be 1,024 bytes long, which encoding may treble.
LONGEST_ID = 1_900


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectChange:
    """What became of one object. `said` is the provider's own word for it, `sequencer` its order among others.

    `etag` is without quotes. `version` is S3's version id or GCS's generation.
    """

    place: Place
    key: str
    at: datetime
    change: Change = "created"
    etag: str = ""
    version: str = ""
    size_bytes: int | None = None
    sequencer: str = ""
    said: str = ""

    @property
    def mark(self) -> str:
        """What tells this state of the object from others under its key, whoever tells of it.

        Listings of S3 and Azure know etags but no versions; GCS's etags differ between its two interfaces.
        """
        if self.place.store == "gs" and self.version:
            return self.version
        return self.etag or self.version or self.sequencer


def bare_etag(etag: object) -> str:
    """An etag without quotes and without the mark of weak ones (RFC 9110 section 8.8.3)."""
    return etag.removeprefix("W/").strip('"') if isinstance(etag, str) else ""


def event_of(change: ObjectChange) -> Event:
    """The event of a change."""
    place = change.place
    data: dict[str, Any] = {
        "url": place.url(change.key),
        "bucket": place.bucket,
        "key": change.key,
        "size_bytes": change.size_bytes,
        "etag": change.etag or None,
        "version": change.version or None,
    }
    if change.said:
        data["said"] = change.said
    return _event(place, change.key, _mark(change), OBJECT + change.change, change.at, data)


def _mark(change: ObjectChange) -> str:
    if change.change == "created":
        return change.mark or change.at.isoformat()
    # A removal, or a change of what is beside the content, may happen to one version more than once.
    return f"{change.change}-{change.sequencer or change.mark or change.at.isoformat()}"


def landed(place: Place, folder: str, identity: str, *, at: datetime, files: int, size_bytes: int) -> Event:
    """The event of a whole folder, whose listing has the digest `identity`."""
    data = {
        "url": place.url(folder) + "/",
        "bucket": place.bucket,
        "key": f"{folder}/",
        "size_bytes": size_bytes,
        "files": files,
        "digest": identity,
    }
    return _event(place, f"{folder}/", identity, FOLDER_LANDED, at, data)


def _event(place: Place, key: str, mark: str, kind: str, at: datetime, data: dict[str, Any]) -> Event:
    shown = encode_path(key)
    event_id = f"{shown}@{encode_path(mark)}"
    if len(event_id.encode()) > LONGEST_ID:
        event_id = f"blake2b-{hashlib.blake2b(event_id.encode(), digest_size=32).hexdigest()}"
    return Event(
        source=place.uri,
        id=event_id,
        type=kind,
        time=at,
        subject=shown if len(shown.encode()) <= LONGEST_ID else None,
        data=data,
        datacontenttype="application/json",
    )


def unreadable(record: Any, reason: str, source: str, at: datetime) -> Event:
    """The event of a record, among others of one message, that cannot be read: kept, and known by its content."""
    digest = hashlib.blake2b(orjson.dumps(record, option=orjson.OPT_SORT_KEYS), digest_size=32).hexdigest()
    data = {"reason": reason, "record": record}
    return Event(source=source, id=digest, type=UNREADABLE, time=at, data=data, datacontenttype="application/json")


def unwanted(event: Event, changes: Sequence[str], pattern: ObjectPattern | None) -> str | None:
    """Why a trigger for these `changes` of the objects of `pattern` passes over an event; None where it does not.

    Raises `InvalidEvent` for a record that could not be read: that is dead, and no trigger's choice.
    """
    data = event.data if isinstance(event.data, Mapping) else {}
    if event.type == UNREADABLE:
        raise InvalidEvent(str(data.get("reason")))
    change = event.type.removeprefix(OBJECT)
    if change not in changes:
        return f"filter: the object was {change}: this trigger listens for changes={tuple(changes)!r}"
    key = data.get("key")
    place = place_of(event)
    if pattern is None or not isinstance(key, str) or place is None:
        return None
    if not pattern.place.holds(place) or not pattern.matches(key):
        return f"filter: {data.get('url')} is not like {pattern.text}"
    return None


def place_of(event: Event) -> Place | None:
    """The bucket that an object's event is about."""
    store, separator, bucket = event.source.partition("://")
    if not separator:
        return None
    if store != "https":
        return Place(store, bucket)
    host, _, container = bucket.partition("/")
    return Place("az", container, azure_account(host))
