"""One record of each provider's notifications, read into an `ObjectChange`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, unquote_plus

from triggers.objects.event import Change, ObjectChange, bare_etag
from triggers.objects.place import Place, azure_address

_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]{0,254}")
_BLOB_SUBJECT = re.compile(r"/blobServices/default/containers/([^/]+)/blobs/(.+)", re.DOTALL)
_LONGEST_KEY = 4_096

_S3: Mapping[str, Change] = {"ObjectCreated": "created", "ObjectRemoved": "removed", "LifecycleExpiration": "removed"}
_EVENTBRIDGE: Mapping[str, Change] = {"Object Created": "created", "Object Deleted": "removed"}
_GCS: Mapping[str, Change] = {"OBJECT_FINALIZE": "created", "OBJECT_DELETE": "removed", "OBJECT_ARCHIVE": "removed"}
_AZURE: Mapping[str, Change] = {"BlobCreated": "created", "BlobDeleted": "removed", "BlobRenamed": "created"}
# Data Lake and SFTP tell of a blob when it is made, empty, and again when it is whole.
_AZURE_BEGUN = ("CreateFile", "SftpCreate")


class Unread(Exception):
    """A record cannot be read, and why."""


def s3_change(record: Mapping[str, Any], received_at: datetime) -> ObjectChange:
    """A record of S3, MinIO and others who speak like them. Its key is encoded as in a form: `+` is a space."""
    named = _text(record, "eventName").removeprefix("s3:")
    about = _mapping(record, "s3")
    thing = _mapping(about, "object")
    return _made(
        Place("s3", _text(_mapping(about, "bucket"), "name")),
        _decoded(_text(thing, "key"), plus=True),
        _S3.get(named.partition(":")[0], "changed"),
        thing,
        at=_time(record.get("eventTime"), received_at),
        said=named,
        etag="eTag",
        version="versionId",
    )


def eventbridge_change(payload: Mapping[str, Any], received_at: datetime) -> ObjectChange:
    """S3 by EventBridge, whose keys are not encoded."""
    named, detail = _text(payload, "detail-type"), _mapping(payload, "detail")
    if payload.get("source") != "aws.s3":
        raise Unread(f"the source {payload.get('source')!r:.80} is not aws.s3")
    thing = _mapping(detail, "object")
    return _made(
        Place("s3", _text(_mapping(detail, "bucket"), "name")),
        _text(thing, "key"),
        _EVENTBRIDGE.get(named, "changed"),
        thing,
        at=_time(payload.get("time"), received_at),
        said=named,
        etag="etag",
        version="version-id",
    )


def gcs_pushed(attributes: Mapping[str, Any], resource: Any, received_at: datetime) -> ObjectChange:
    """A Pub/Sub message. Its attributes tell enough where it was set up to carry no payload."""
    said = _text(attributes, "eventType")
    told = {
        "bucket": attributes.get("bucketId"),
        "name": attributes.get("objectId"),
        "generation": attributes.get("objectGeneration"),
        "updated": attributes.get("eventTime"),
    }
    given = resource if isinstance(resource, dict) else {}
    change = _GCS.get(said, "changed")
    if change == "removed" and attributes.get("overwrittenByGeneration"):
        change = "changed"
    return gcs_change(
        told | {name: value for name, value in given.items() if value is not None}, change, said, received_at
    )


def gcs_change(resource: Any, change: str, said: str, received_at: datetime) -> ObjectChange:
    """A GCS object as its JSON interface shows it."""
    if not isinstance(resource, dict):
        raise Unread("the object's description is missing")
    when = "updated" if change == "created" else "timeDeleted"
    return _made(
        Place("gs", _text(resource, "bucket")),
        _text(resource, "name"),
        _change(change),
        resource,
        at=_time(resource.get(when) or resource.get("updated") or resource.get("timeCreated"), received_at),
        said=said,
        etag="etag",
        version="generation",
    )


def azure_change(payload: Mapping[str, Any], received_at: datetime) -> ObjectChange:
    """A blob as Event Grid tells of it, in its own schema or in that of CloudEvents."""
    family, _, named = _text(payload, "eventType").rpartition(".")
    if family != "Microsoft.Storage":
        raise Unread(f"the type {family}.{named} is none of Microsoft.Storage")
    data = _mapping(payload, "data")
    place, key = _blob(payload, data, "destinationUrl" if named == "BlobRenamed" else "url")
    change = _AZURE.get(named, "changed")
    return _made(
        place,
        key,
        "changed" if data.get("api") in _AZURE_BEGUN else change,
        {name.replace("_", "").lower(): value for name, value in data.items()},
        at=_time(payload.get("eventTime"), received_at),
        said=f"{named}:{data.get('api')}" if isinstance(data.get("api"), str) else named,
        etag="etag",
        version="",
        size="contentlength",
    )


def _blob(payload: Mapping[str, Any], data: Mapping[str, Any], address: str) -> tuple[Place, str]:
    found = azure_address(_text(data, address))
    if found is None:
        raise Unread(f"{address} is not the address of a blob")
    place, key = found
    subject = _BLOB_SUBJECT.fullmatch(str(payload.get("subject")))
    # The subject is not encoded; it is that of the blob which was renamed away.
    return (place, subject[2]) if subject and address == "url" else (place, _decoded(key, plus=False))


def _made(
    place: Place,
    key: str,
    change: Change,
    thing: Mapping[str, Any],
    *,
    at: datetime,
    said: str,
    etag: str,
    version: str,
    size: str = "size",
) -> ObjectChange:
    if not _BUCKET.fullmatch(place.bucket) or (place.account and not _BUCKET.fullmatch(place.account)):
        raise Unread(f"{place.bucket!r:.80} is not the name of a bucket")
    if not key or len(key) > _LONGEST_KEY:
        raise Unread("its key is empty or too long")
    return ObjectChange(
        place=place,
        key=key,
        at=at,
        change=change,
        etag=bare_etag(thing.get(etag)),
        version=_plain(thing.get(version)),
        size_bytes=_size(thing.get(size)),
        sequencer=_plain(thing.get("sequencer")),
        said=said,
    )


def _change(change: str) -> Change:
    found: Mapping[str, Change] = {"created": "created", "removed": "removed"}
    return found.get(change, "changed")


def _mapping(outer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = outer.get(name)
    if not isinstance(found, dict):
        raise Unread(f"{name} is missing")
    return found


def _text(outer: Mapping[str, Any], name: str) -> str:
    found = outer.get(name)
    if not isinstance(found, str) or not found:
        raise Unread(f"{name} is missing")
    return found


def _plain(value: Any) -> str:
    """A version or generation, which some write as a number."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _size(value: Any) -> int | None:
    text = _plain(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _decoded(key: str, *, plus: bool) -> str:
    try:
        return (unquote_plus if plus else unquote)(key, errors="strict")
    except UnicodeDecodeError:
        raise Unread(f"the key {key!r:.80} is not UTF-8") from None


def _time(value: Any, received_at: datetime) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return received_at
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return received_at
