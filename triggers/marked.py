"""Secrets in the data of events: which paths they are stands in the event itself, and is kept with it.

What decides about an event (filters, parameters, keys) is shown it `hidden`, and so is everybody who looks at it
later (`shown`). Stages and gates get it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from triggers.errors import InvalidTrigger
from triggers.event import CONTEXT_ATTRIBUTES, HEADERS, REPLAY, Event

# The extension that names the paths, with spaces between them. What a sender says there does not count.
SECRETS = "tidemillsecrets"
MASK = "***"
DATA, ENCODED = "data", "data_base64"
Hide = Callable[[Any], Any]


def _mask(_: Any) -> str:
    return MASK


def marked(event: Event, secrets: Sequence[str]) -> Event:
    """The event with these paths as its secrets, and no others."""
    if not secrets:
        if SECRETS not in event.extensions:
            return event
        others = {name: value for name, value in event.extensions.items() if name != SECRETS}
        return replace(event, extensions=others)
    return replace(event, extensions={**event.extensions, SECRETS: " ".join(secrets)})


def secrets_of(bindings: Iterable[Any]) -> Sequence[str]:
    """The paths that are secrets to any of those who hear an event, each only where none above it is one."""
    found = {path for binding in bindings for path in binding.trigger.secrets}
    return (
        () if not found else sorted(path for path in found if not any(path.startswith(f"{other}.") for other in found))
    )


def untold(why: str) -> str:
    """Why an event with secrets cannot be read, as far as that tells nothing of what is in it."""
    return f"{why.partition(':')[0]}: what is wrong with it is not told, for it holds secrets"


def hidden(event: Event) -> Event:
    """The event with `***` in place of its secrets."""
    if event.source.startswith(REPLAY) and isinstance(event.data, Mapping):
        return replace(event, data=_replayed(event.data, _mask))
    paths = _paths(event.extensions)
    return replace(event, data=_hide_all(event.data, paths, _mask)) if paths else event


def shown(written: Mapping[str, Any], hide: Hide = _mask) -> dict[str, Any]:
    """An event in JSON format, with what `hide` makes of its secrets. Of a replay, those of what it is of."""
    found = dict(written)
    if str(written.get("source", "")).startswith(REPLAY):
        if isinstance(written.get(DATA), Mapping):
            found[DATA] = _replayed(written[DATA], hide)
        return found
    paths = _paths(written)
    if paths and ENCODED in found:
        found[DATA] = hide(found.pop(ENCODED))
    elif paths and DATA in found:
        found[DATA] = _hide_all(found[DATA], paths, hide)
    return found


def hidden_in(event: Event) -> list[Any]:
    """What `hidden` hides, as it is."""
    found: list[Any] = []
    if event.source.startswith(REPLAY) and isinstance(event.data, Mapping):
        _replayed(event.data, found.append)
    elif paths := _paths(event.extensions):
        _hide_all(event.data, paths, found.append)
    return found


def _replayed(data: Mapping[str, Any], hide: Hide) -> dict[str, Any]:
    return carried(data, lambda one: shown(one, hide))


def carried(data: Mapping[str, Any], change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The data of a replay, each event that it carries changed."""
    found = dict(data)
    if isinstance(data.get("event"), Mapping):
        found["event"] = change(data["event"])
    if data.get("events"):
        found["events"] = [change(one) for one in data["events"]]
    return found


def _paths(named: Mapping[str, Any]) -> Sequence[str]:
    return str(named[SECRETS]).split() if SECRETS in named else ()


def _hide_all(data: Any, paths: Iterable[str], hide: Hide) -> Any:
    for path in paths:
        data = _hide(data, path.removeprefix(DATA).removeprefix("."), hide)
    return data


def _hide(value: Any, path: str, hide: Hide) -> Any:
    """What is not there is not made up. Text and bytes cannot be looked into: they are hidden whole."""
    if value is None:
        return None
    if not path or isinstance(value, str | bytes):
        return hide(value)
    if isinstance(value, Mapping):
        step, _, below = (path, "", "") if path in value else path.partition(".")
        return {**value, step: _hide(value[step], below, hide)} if step in value else value
    if isinstance(value, list | tuple):
        step, _, below = path.partition(".")
        if not step.isdigit():
            return [_hide(one, path, hide) for one in value]
        return [_hide(one, below, hide) if place == int(step) else one for place, one in enumerate(value)]
    return value


def check_secrets(trigger: Any) -> None:
    """Refuse what is no path into data, and a trigger that goes by its own secrets. Raises `InvalidTrigger`."""
    what = trigger.name
    if not trigger.secrets:
        return
    if trigger.ear is None:
        raise InvalidTrigger(f"{what}: secrets: its events hold no data of a sender, so nothing in them can be marked")
    for path in trigger.secrets:
        steps = path.split(".")
        if steps[0] != DATA or not all(steps) or path.split() != [path]:
            raise InvalidTrigger(f"{what}: secrets: {path!r} is no path into the data, such as data.card.number")
    check_uses(what, paths_of(trigger), what, trigger.secrets)


def check_uses(user: str, paths: Iterable[str], owner: str, secrets: Sequence[str]) -> None:
    """Raises `InvalidTrigger` where `user` goes by what is a secret to `owner`."""
    for path in paths:
        for secret in secrets:
            if _touch(_steps(path), _steps(secret)):
                raise InvalidTrigger(
                    f"{user} goes by {path}, and {secret} is a secret of {owner}: filters, params and keys are kept "
                    f"and shown, and see only {MASK} there: leave it to the stages, which get the event whole"
                )


def paths_of(trigger: Any) -> Iterator[str]:
    """Every path into an event by which a trigger goes."""
    yield from _clauses(trigger.where)
    yield from (path for path in trigger.params.values() if isinstance(path, str))
    keys = (trigger.concurrency_key, getattr(trigger.coalesce, "key", None), getattr(trigger.rate_limit, "key", None))
    yield from (key for key in keys if key)


def _clauses(where: Mapping[str, Any]) -> Iterator[str]:
    for key, wanted in where.items():
        if key == "not":
            yield from _clauses(wanted)
        elif key in ("any", "all"):
            for one in wanted:
                yield from _clauses(one)
        else:
            yield key


def _steps(path: str) -> Sequence[str]:
    """A path into data without places in lists; empty for one that is not into data."""
    first = path.split(".")[0]
    if first != DATA and (first in CONTEXT_ATTRIBUTES or first == HEADERS):
        return ()
    steps = path.split(".") if first == DATA else [DATA, *path.split(".")]
    return [one for one in steps if not one.isdigit()]


def _touch(one: Sequence[str], other: Sequence[str]) -> bool:
    common = min(len(one), len(other))
    return common > 0 and one[:common] == other[:common]
