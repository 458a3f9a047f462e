"""Webhooks: a delivery to `POST /hooks/NAME` becomes an event, identified by the sender's own delivery id."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from triggers.attributes import is_text
from triggers.base import Binding, Trigger
from triggers.errors import InvalidEvent, InvalidTrigger
from triggers.event import Event
from triggers.headers import Headers, fold, key_of
from triggers.payload import media_type, parse_json, require_utf8
from triggers.route import WEBHOOK, Route
from triggers.signatures import DELIVERY_HEADERS, Verifier

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")
_GITHUB_EVENT = re.compile(r"[a-z][a-z_]{0,63}")
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1_000


@dataclass(frozen=True)
class Webhook(Trigger):
    """Listens to `POST /hooks/HOOK`.

    `verify` says how a delivery proves its sender. Without one everybody who reaches the port can start the run:
    only for a daemon that listens on loopback. Triggers of several pipelines may share a hook and its verifier.
    """

    kind: ClassVar[str] = "webhook"

    hook: str
    verify: Verifier | None = None

    def default_name(self) -> str:
        return f"webhook:{self.hook}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears its hook."""
        mine = (route.kind, route.target) == (WEBHOOK, self.hook)
        return None if mine else f"it hears what is posted to /hooks/{self.hook}"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _NAME.fullmatch(self.hook):
            raise InvalidTrigger(
                f"webhook {self.hook!r}: a hook's name is letters, digits and . _ ~ -, as in its address"
            )


def hooks(bindings: Sequence[Binding]) -> Mapping[str, Sequence[Binding]]:
    """Who listens to which hook; asked once, at start.

    Raises `InvalidTrigger` where a secret is missing or two triggers verify one hook differently.
    """
    by_hook: defaultdict[str, list[Binding]] = defaultdict(list)
    for binding in bindings:
        if isinstance(binding.trigger, Webhook):
            by_hook[binding.trigger.hook].append(binding)
    for hook, listening in by_hook.items():
        verify = listening[0].trigger.verify
        for other in listening:
            if other.trigger.verify != verify:
                raise InvalidTrigger(
                    f"hook {hook}: {listening[0].name} and {other.name} verify it differently: share one"
                )
        if verify is not None:
            verify.check()
    return dict(by_hook)


def receive(webhook: Webhook, headers: Headers, body: bytes, now: datetime) -> Event | None:
    """The event of a delivery, or None for a ping, which only wants to hear that somebody is there.

    Raises `InvalidEvent`: 401 signature, 415 content type, 400 malformed, 422 too deep. The same delivery makes the
    same event: its id is the sender's delivery id, else `Idempotency-Key`, else a digest of the raw body.
    """
    folded = fold(headers)
    if webhook.verify is not None:
        webhook.verify.verify(folded, body, now)
    vouched = webhook.verify.delivery_headers if webhook.verify is not None else DELIVERY_HEADERS
    github_event = folded.get("x-github-event", "") if "X-GitHub-Delivery" in vouched else ""
    if github_event == "ping":
        return None
    data = _data(folded.get("content-type", ""), body)
    return Event(
        source=f"tidemill:hooks/{webhook.hook}",
        id=_delivery_id(vouched, folded, body),
        type=f"dev.tidemill.webhook.github.{github_event}"
        if _GITHUB_EVENT.fullmatch(github_event)
        else "dev.tidemill.webhook",
        time=now,
        subject=_subject(data),
        datacontenttype="application/json",
        data=data,
    )


def _delivery_id(vouched: Sequence[str], folded: Mapping[str, str], body: bytes) -> str:
    keys = (key_of(folded, name) for name in vouched)
    return next((key for key in keys if key), "") or "body-" + hashlib.blake2b(body, digest_size=16).hexdigest()


def _data(content_type: str, body: bytes) -> Any:
    media = media_type(content_type)
    if media is not None and media.is_json:
        require_utf8(media)
        return parse_json(body, "the body")
    if media is not None and media.essence == _FORM:
        return _from_form(body)
    raise InvalidEvent(f"content type {content_type[:80]!r} is not understood: post application/json", status=415)


def _from_form(body: bytes) -> Any:
    """A form's `payload` field as JSON (GitHub), else its fields. A repeated field counts with its last value."""
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise InvalidEvent(f"the form is not UTF-8 or has more than {_MOST_FIELDS} fields", status=400) from None
    if "payload" in fields:
        return parse_json(fields["payload"], "the form's payload")
    if not any(fields.values()):
        raise InvalidEvent("the form has no values: post JSON with Content-Type: application/json", status=400)
    return fields


def _subject(data: Any) -> str | None:
    """The repository a delivery is about, as GitHub, Gitea, Bitbucket or GitLab name it."""
    for outer, inner in (("repository", "full_name"), ("project", "path_with_namespace")):
        about = data.get(outer) if isinstance(data, dict) else None
        name = about.get(inner) if isinstance(about, dict) else None
        if is_text(name):
            return str(name)
    return None
