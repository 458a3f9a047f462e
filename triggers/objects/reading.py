"""Reading what an event of an object told of, in stages; and asking whether a bucket can be read. Everything blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from triggers.errors import SourceUnavailable, TriggerError
from triggers.event import Event
from triggers.objects.access import Access, telling
from triggers.objects.event import place_of

CHUNK_BYTES = 8 << 20


class ObjectChanged(TriggerError):
    """What lies under the key is not what the event told of: it was overwritten or removed since."""


def read_object(event: Event, access: Access | None = None) -> bytes:
    """The content of the object that `event` told of, exactly: by its version, or only if its etag is still the same.

    Raises `ObjectChanged` (permanent) and `SourceUnavailable` (transient). Without `access`, credentials are those of
    the environment.
    """
    with _opened(event, access) as found:
        return bytes(found.bytes())


def fetch_object(event: Event, to: Path, access: Access | None = None) -> Path:
    """Write that content to the file `to`, in chunks. Raises like `read_object`; then `to` may be there in part."""
    with _opened(event, access) as found, to.open("wb") as file:
        for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
            file.write(chunk)
    return to


@contextmanager
def _opened(event: Event, access: Access | None) -> Iterator[Any]:
    from obstore import get
    from obstore.exceptions import PreconditionError

    place, key = place_of(event), event.data.get("key") if isinstance(event.data, dict) else None
    if place is None or not isinstance(key, str) or key.endswith("/"):
        raise ObjectChanged(f"event {event.id} of {event.source} tells of no single object: read its data instead")
    store = (access or Access(place)).open()
    try:
        with telling(place.uri):
            try:
                yield get(store, key, options=_state(place.store, event.data))
            except PreconditionError:
                raise _changed(event, "overwritten") from None
    except FileNotFoundError:
        raise _changed(event, "removed") from None


def _state(store: str, data: dict[str, Any]) -> Any:
    """What to ask for, so that nothing but what the event told of is read."""
    if data.get("version") and store in ("s3", "gs"):
        return {"version": data["version"]}
    return {"if_match": f'"{data["etag"]}"'} if data.get("etag") else {}


def _changed(event: Event, what: str) -> ObjectChanged:
    return ObjectChanged(f"{event.data['url']} was {what} since event {event.id}: start the run of its newer event")


def probe(access: Access, prefix: str) -> None:
    """Raises `SourceUnavailable` or `InvalidTrigger` where what is below `prefix` cannot be listed."""
    from obstore import list as listed

    store = access.open()
    try:
        with telling(access.place.uri):
            next(iter(listed(store, prefix or None, chunk_size=1)), None)
    except FileNotFoundError as error:
        raise SourceUnavailable(f"{access.place.uri}: there is nothing: {error}") from None
