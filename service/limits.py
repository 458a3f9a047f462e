"""What limits a run: its keys, read from its event by what its pipeline declares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from stages.limits import Concurrency
from stages.policy import RunPolicy
from triggers.event import Event
from triggers.manual import MANUAL
from triggers.replay import is_shadow, replayed
from triggers.where import ABSENT, select

LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Goes into a run's row. `concurrency` is set where accepting must look at other runs of the same key."""

    limited: bool = False
    key: str | None = None
    rate_key: str | None = None
    pool: str | None = None
    concurrency: Concurrency | None = None


UNLIMITED = RunLimits()


def limits_of(policy: RunPolicy, event: Event, key_path: str | None = None) -> RunLimits:
    """What holds for the run this event starts. `key_path` is where its trigger says that the key is, if it does."""
    if not policy.limited:
        return UNLIMITED
    if is_shadow(event):
        # It takes places, but neither cancels nor holds up what really happens, nor counts as a start.
        return RunLimits(True, pool=policy.pool)
    concurrency, rate = policy.concurrency, policy.rate
    key = None if concurrency is None else key_of(key_path or concurrency.key, event)
    rate_key = None if rate is None else "" if rate.key is None else key_of(rate.key, event)
    guarded = concurrency if key is not None and concurrency is not None and concurrency.policy != "queue" else None
    return RunLimits(True, key, rate_key, policy.pool, guarded)


def key_of(path: str, event: Event) -> str | None:
    """The value at `path` as text, None where there is none. Text is its own key, anything else its JSON.

    What is long, or would not be shown as it is, is told apart by its digest.
    """
    value = select(path, _as_sent(event))
    if value is ABSENT or value is None:
        return None
    told = value if isinstance(value, str) else _told(value)
    if len(told) <= LONGEST_KEY and told.isprintable():
        return told
    return "blake2b:" + hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _as_sent(event: Event) -> Event:
    """What was given by hand counts as if it had been sent: its `data`, and where there is none its parameters.

    A replay counts as what it is of.
    """
    replay = replayed(event)
    event = event if replay is None else replay.original
    if event.type != MANUAL or not isinstance(event.data, Mapping):
        return event
    given = event.data.get("data")
    return replace(event, data=event.data.get("params") if given is None else given)


def _told(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=_plain).decode()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)
