"""Events as they are stored, read by three kinds of readers: those who run them, decide about them, and show them.

Nothing else reads the column (a test sees to that), so no view can forget what is not to be seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from stages.secret_params import Hidden
from stages.secrets import Secrets
from triggers.cloudevents import restore
from triggers.event import REPLAY, Event
from triggers.marked import carried, shown

# What an event is known by, and what it cannot be read again without.
_AS_IT_IS = frozenset({"specversion", "source", "id", "type", "time", "datacontenttype", "data_base64"})


def whole_event(stored: bytes) -> Event:
    """The event with its secrets, for stages and gates."""
    return restore(orjson.loads(stored))


def heard_event(stored: bytes) -> dict[str, Any]:
    """The CloudEvent for what decides: a marked secret is `***`, and still equal only to what it hides."""
    return shown(orjson.loads(stored), Hidden.of)


def shown_event(stored: bytes, secrets: Secrets) -> dict[str, Any]:
    """The CloudEvent for everybody else: what looks like a secret is hidden too."""
    return as_shown(heard_event(stored), secrets)


def as_shown(heard: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    """A CloudEvent that was heard, as it is shown. Of a replay, what it carries is shown like that."""
    likely = secrets.of_document(orjson.dumps(heard).decode())
    return dict(heard) if likely is None else _masked(heard, likely)


def _masked(heard: Mapping[str, Any], secrets: Secrets) -> dict[str, Any]:
    plain = {name: value for name, value in heard.items() if name in _AS_IT_IS}
    data = heard.get("data")
    if str(heard.get("source", "")).startswith(REPLAY) and isinstance(data, Mapping):
        plain["data"] = carried(data, lambda one: _masked(one, secrets))
    masked = secrets.mask_fields({name: heard[name] for name in heard if name not in plain}, Hidden.of)
    return {**plain, **masked}
