"""Trace context (W3C, level 1): which trace an event belongs to. What is malformed is dropped, as the standard says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

# Of a later version only the part that this one knows is read, and only where more follows after a dash.
_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MOST_MEMBERS = 32
_KEY = r"[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_MEMBER = re.compile(rf"(?:{_KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")
_SAMPLED = 1


def trace_parent(value: Any) -> str | None:
    """A `traceparent` in version 00, or None for what is not one (section 3.2)."""
    found = _PARENT.fullmatch(value.strip(" \t")) if isinstance(value, str) else None
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(parent, 16):
        return None
    known = flags if version == "00" else f"{int(flags, 16) & _SAMPLED:02x}"
    return f"00-{trace}-{parent}-{known}"


def trace_state(value: Any) -> str | None:
    """A `tracestate` without its empty members, or None for what is not one (section 3.3)."""
    if not isinstance(value, str):
        return None
    members = [one for one in (part.strip(" \t") for part in value.split(",")) if one]
    keys = {one.partition("=")[0] for one in members}
    if not members or len(members) > _MOST_MEMBERS or len(keys) < len(members):
        return None
    return ",".join(members) if all(map(_MEMBER.fullmatch, members)) else None


def trace_of(given: Mapping[str, Any]) -> dict[str, str]:
    """The valid `traceparent` among headers or extension attributes, with its `tracestate`; empty without one."""
    parent = trace_parent(given.get("traceparent"))
    if parent is None:
        return {}
    state = trace_state(given.get("tracestate"))
    return {"traceparent": parent} if state is None else {"traceparent": parent, "tracestate": state}


def traced(extensions: Mapping[str, Any], headers: Mapping[str, Any]) -> dict[str, Any]:
    """Extension attributes with the trace of the request that brought them, unless they name their own."""
    if "traceparent" not in headers or trace_parent(extensions.get("traceparent")) is not None:
        return dict(extensions)
    return {**extensions, **trace_of(headers)}


def continued(extensions: Mapping[str, Any], key: str, step: str) -> dict[str, str]:
    """The trace of what `step` of a run causes: that of the event it is for, else one made of the event's `key`.

    `key` is 32 hexadecimal digits. The same each time it is asked, so that what is repeated stays in its trace.
    """
    given = trace_of(extensions)
    trace, flags = (given["traceparent"][3:35], given["traceparent"][-2:]) if given else (key, "00")
    span = hashlib.blake2b(f"{trace}/{step}".encode(), digest_size=8).hexdigest()
    return {**given, "traceparent": f"00-{trace}-{span}-{flags}"}
