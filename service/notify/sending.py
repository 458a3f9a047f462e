"""Sends one event until a daemon has it: the same id each time, so it is one event however often it arrives."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

from service.notify.build import Build

TYPE = "dev.tidemill.ci"
TIMEOUT_S = 15.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 15.0
AGAIN = (408, 429, 500, 502, 503, 504)


class Refused(Exception):
    """The daemon will not have it, however often it is sent."""


class GaveUp(Exception):
    """Nobody took it for as long as it was tried."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: `path` below the daemon's address, `headers` and `body`."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def event_of(
    build: Build, event_id: str | None, extra: Any = None, given: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The CloudEvent that a job is. Its id names the job, try and status, where the CI tells them, and what it adds.

    So a job that tells of several things tells of each, and one that tells the same again of nothing new. `given` is
    what was named by hand, `extra` what the event carries beside.
    """
    known = [build.build, build.attempt, build.job, *([build.leg] if build.leg else []), build.status]
    data = build.data() | ({"data": extra} if extra is not None else {})
    told = dict(given or {}) | ({"data": extra} if extra is not None else {})
    if told:
        known.append(digest_of(told))
    event = {
        "specversion": "1.0",
        "id": event_id or ("/".join(part or "-" for part in known) if build.build else str(uuid4())),
        "source": f"ci:{build.provider}/{quote(build.repository, safe='/')}",
        "type": TYPE,
        "datacontenttype": "application/json",
        "data": data,
    }
    return event | ({"subject": build.repository} if build.repository else {})


def digest_of(value: Any) -> str:
    """What names a JSON value, in 16 characters: the same for the same members in any order."""
    written = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(written.encode(), digest_size=8).hexdigest()


def to_events(event: Mapping[str, Any]) -> Message:
    """The event as it is posted to the daemon's own address for events."""
    return Message("/api/v1/events", {"Content-Type": "application/cloudevents+json"}, _json(event))


def to_hook(event: Mapping[str, Any], hook: str) -> Message:
    """What the event carries, as a delivery to a hook."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": json.dumps(f"{event['source']} {event['id']}")}
    return Message(f"/hooks/{quote(hook, safe='')}", headers, _json(event["data"]))


def send(
    url: str, token: str | None, message: Message, *, patience_s: float, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """The daemon's answer, `{}` for none. Raises `Refused`, or `GaveUp` after `patience_s`."""
    headers = {**message.headers, "User-Agent": "tidemill-notify"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    ends, wait_s = time.monotonic() + patience_s, FIRST_WAIT_S
    while True:
        status, after_s, body, trouble = _try(url, message, headers)
        if status is not None and status not in AGAIN:
            return _answer(status, body)
        trouble = trouble or f"it answers {status}"
        pause_s = max(wait_s * random.uniform(0.5, 1.0), min(after_s, LONGEST_WAIT_S * 4))
        if time.monotonic() + pause_s > ends:
            raise GaveUp(f"{url}: {trouble}; gave up after {patience_s:g} s. It may be sent again: it is one event")
        sleep(pause_s)
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


def _try(url: str, message: Message, headers: Mapping[str, str]) -> tuple[int | None, float, bytes, str]:
    """Status, Retry-After, body; or None, and why there is no answer."""
    parts = urlsplit(url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", parts.path.rstrip("/") + message.path, message.body, dict(headers))
        answer = connection.getresponse()
        after = answer.headers.get("Retry-After", "0")
        return answer.status, float(after) if after.isascii() and after.isdigit() else 0.0, answer.read(), ""
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"{url}: its certificate is not trusted: {error.verify_message}") from error
    except (OSError, http.client.HTTPException) as error:
        return None, 0.0, b"", f"no daemon answers ({error or type(error).__name__})"
    finally:
        connection.close()


def _answer(status: int, body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body) if body else {}
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    if status >= 300:
        raise Refused(f"{status}: {told.get('detail') or body[:200].decode('utf-8', 'replace') or 'refused'}")
    return told


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
