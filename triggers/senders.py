"""How each provider words its deliveries: which header names what happened, and what names the delivery itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triggers.attributes import is_text
from triggers.headers import key_of

_WORD = re.compile(r"[a-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One provider. `id_in_body` is a path in the payload to what names the delivery, `event_in_body` to what it is of.

    `pings` are deliveries that only ask whether anybody is there. `ending` is what follows each event's name. Where a
    ping can be told by its payload, `ping_fields` are the fields that only a ping has: no signature covers the header.
    """

    name: str
    event_header: str = ""
    event_in_body: Sequence[str] = ()
    id_in_body: Sequence[str] = ()
    ending: str = ""
    pings: frozenset[str] = field(default=frozenset({"ping"}))
    ping_fields: frozenset[str] = frozenset()

    def event_of(self, headers: Mapping[str, str], data: Any = None) -> str:
        """What happened, as a word in lower case; `""` where the delivery does not say."""
        told = headers.get(self.event_header, "") or found(data, self.event_in_body)
        word = re.sub(r"[ :]", lambda one: "_" if one[0] == " " else ".", str(told).removesuffix(self.ending).lower())
        return word if _WORD.fullmatch(word) else ""

    def is_ping(self, headers: Mapping[str, str], data: Any) -> bool:
        """Whether this delivery only asks whether anybody is there."""
        if self.ping_fields:
            return isinstance(data, dict) and self.ping_fields <= data.keys()
        return self.event_of(headers, data) in self.pings

    def type_of(self, event: str) -> str:
        """The type of the event that a delivery becomes."""
        return f"dev.tidemill.webhook.{self.name}.{event}" if event else f"dev.tidemill.webhook.{self.name}"


GITHUB = Sender(name="github", event_header="x-github-event", ping_fields=frozenset({"zen", "hook_id"}))
GITLAB = Sender(name="gitlab", event_header="x-gitlab-event", ending=" Hook")
BITBUCKET = Sender(name="bitbucket", event_header="x-event-key", ping_fields=frozenset({"test"}))
# It sends no ping: what its button "Test Delivery" sends is a push.
GITEA = Sender(name="gitea", event_header="x-gitea-event", pings=frozenset())
CIRCLECI = Sender(name="circleci", event_in_body=("type",), id_in_body=("id",))
BUILDKITE = Sender(name="buildkite", event_header="x-buildkite-event")
JENKINS = Sender(name="jenkins", event_in_body=("build", "phase"))

# Who it must be that sends to a hook without a scheme of its own. Gitea and Forgejo send GitHub's headers too.
_TOLD_BY_HEADER = (GITEA, GITHUB, GITLAB, BITBUCKET, BUILDKITE)


def sender_of(headers: Mapping[str, str]) -> Sender | None:
    """The provider whose headers these are."""
    return next((one for one in _TOLD_BY_HEADER if headers.get(one.event_header)), None)


def delivery_id(headers: Mapping[str, str], vouched: Sequence[str]) -> str | None:
    """What the sender calls this delivery, in the first of these headers that is there. Raises `InvalidEvent` (400)."""
    return next((key for key in (key_of(headers, name) for name in vouched) if key), None)


def found(data: Any, path: Sequence[str]) -> str:
    """The text at a path in a payload, `""` where there is none."""
    if not path:
        return ""
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    return str(data) if is_text(data) else ""


def subject_of(data: Any) -> str | None:
    """The repository a payload is about, as each provider words it."""
    for path in (
        ("repository", "full_name"),
        ("project", "path_with_namespace"),
        ("project", "slug"),
        ("pipeline", "slug"),
    ):
        name = found(data, path)
        if name:
            return name
    return None
