"""Deliveries of GitHub, GitLab, S3 and SNS as the CloudEvents that the specification's adapters make of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from triggers.adapter_tables import GITHUB_OTHERS, GITHUB_ROWS, GITLAB_OTHERS, GITLAB_ROWS, Row
from triggers.attributes import is_text, is_uri, timestamp
from triggers.declared import Declared
from triggers.delivered import payload_event
from triggers.delivery import Delivery
from triggers.errors import InvalidEvent, InvalidTrigger
from triggers.event import HOOK, Event
from triggers.senders import GITHUB, GITLAB, Sender, found

# Two of them and what surrounds them fit an attribute.
_LONGEST_BYTES = 1_000
_PATH = re.compile(r"\{([a-z0-9_.*]+)\}")
_WEB = ("https://", "http://")
# GitLab's older way to write times: 2026-11-27 03:04:05 UTC.
_SPACED = re.compile(r"([0-9-]{10}) ([0-9:]{8}) (?:UTC|([+-][0-9]{2}):?([0-9]{2}))")
_NOTED = {"Commit": "commit", "MergeRequest": "merge_request", "Issue": "issue", "Snippet": "snippet"}
_RENAMED = {"build": "job"}


@dataclass(frozen=True)
class AsCloudEvent(metaclass=Declared):
    """Reads a delivery as CloudEvents' own adapters do: `Webhook("ci", verify=GitHub(...), read=AsCloudEvent())`.

    They word what GitHub, GitLab, S3 (in its `Records`) and SNS send; S3's notices through SNS are SNS's.

    Type, source, subject and time are by their tables (`triggers.adapter_tables`); what a payload lacks is left out,
    the source is then the hook's own and the time that of the delivery. The id is that of any delivery, also where
    GitLab's table wants one made up: what is sent twice stays one event. What comes of another sender is read as
    without this.
    """

    def check_sender(self, sender: Sender) -> None:
        """Raises `InvalidTrigger` for a provider that has no table."""
        if sender not in (GITHUB, GITLAB):
            raise InvalidTrigger(f"AsCloudEvent reads what GitHub and GitLab send, not {sender.name}: leave read= out")

    async def read(self, delivery: Delivery) -> Sequence[Event]:
        """See `triggers.delivery.Reader`."""
        if delivery.sender in (GITHUB, GITLAB):
            return [_adapted(one, delivery) for one in payload_event(delivery)]
        if b"TopicArn" in delivery.body or b"Records" in delivery.body:
            from triggers.objects.adapted import amazon_events

            found = await amazon_events(delivery)
            if found is not None:
                return found
        return payload_event(delivery)


def _adapted(event: Event, delivery: Delivery) -> Event:
    kind, row = _github(delivery, event.data) if delivery.sender == GITHUB else _gitlab(delivery, event.data)
    known = ".".join(word for word in ("com", delivery.sender.name if delivery.sender else "", kind) if word)
    return replace(
        event,
        type=known + _filled(row.ending, event.data),
        source=_source(row, event.data) or delivery.source,
        subject=_filled(row.subject, event.data) or None,
        time=_time(row, event.data) or event.time,
        extensions={**event.extensions, HOOK: delivery.hook},
    )


def _github(delivery: Delivery, data: Any) -> tuple[str, Row]:
    kind = GITHUB.event_of(delivery.headers)
    return kind, GITHUB_ROWS.get(kind, GITHUB_OTHERS)


def _gitlab(delivery: Delivery, data: Any) -> tuple[str, Row]:
    """By the payload, not by its header: the source is part of the identity, and GitLab signs no header of these."""
    told = found(data, ("object_kind",))
    told = _RENAMED.get(told, told)
    if told == "note":
        noted = _NOTED.get(found(data, ("object_attributes", "noteable_type")))
        told = f"note.{noted}" if noted else told
    if told in GITLAB_ROWS:
        return told, GITLAB_ROWS[told]
    word = GITLAB.event_of({GITLAB.event_header: told or found(data, ("event_name",))})
    return word or GITLAB.event_of(delivery.headers), GITLAB_OTHERS


def _source(row: Row, data: Any) -> str:
    """An address in the web, or what the table itself says: nobody outside speaks in the name of our own sources."""
    if not _PATH.search(row.source):
        return row.source
    source = _filled(row.source, data)
    if row.cut and row.cut in source:
        source = source.rpartition(row.cut)[0]
    return source if source.startswith(_WEB) and is_uri(source) else ""


def _time(row: Row, data: Any) -> datetime | None:
    action = found(data, ("action",))
    for path in _PATH.findall(row.time):
        at = _instant(_at(data, path.replace("*", action)))
        if at is not None:
            return at
    return None


def _instant(value: Any) -> datetime | None:
    """RFC 3339, seconds since 1970 (GitHub's apps), or with spaces (GitLab)."""
    try:
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        spaced = _SPACED.fullmatch(value) if isinstance(value, str) else None
        if spaced is not None:
            value = f"{spaced[1]}T{spaced[2]}{f'{spaced[3]}:{spaced[4]}' if spaced[3] else 'Z'}"
        return timestamp(value)
    except (InvalidEvent, ValueError, OverflowError, OSError):
        return None


def _filled(template: str, data: Any) -> str:
    """The first alternative of a template for which the payload has every value; empty if there is none."""
    for one in template.split("|"):
        parts = _PATH.split(one)  # every other one is a path
        values = [_text(_at(data, path)) for path in parts[1::2]]
        if all(values):
            parts[1::2] = values
            return "".join(parts)
    return ""


def _at(data: Any, path: str) -> Any:
    for step in path.split("."):
        data = data.get(step) if isinstance(data, Mapping) else None
    return data


def _text(value: Any) -> str:
    """A text or whole number that may stand in an attribute; empty for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if is_text(value) and len(value.encode()) <= _LONGEST_BYTES else ""
