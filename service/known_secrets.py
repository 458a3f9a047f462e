"""The secrets a daemon knows from its start: those of its settings, and those its triggers check senders with."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from service.settings import KNOWN, Settings
from stages.secrets import Secrets

NAMED = ("secret", "token", "password")


def known_secrets(settings: Settings, triggers: Iterable[Any]) -> Secrets:
    """What is never shown."""
    given = [str(known.of(settings)) for known in KNOWN.values() if known.about.secret and known.of(settings)]
    passwords = [unquote(found) for url in given if (found := _password(url))]
    return Secrets([*given, *passwords, *(value for trigger in triggers for value in _lent(trigger, ""))])


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None


def _lent(value: Any, name: str) -> Iterator[str]:
    """`env:NAME` wherever it stands in a trigger, and what is written out in a field called a secret."""
    if isinstance(value, str):
        if value.startswith("env:"):
            yield os.environ.get(value[4:], "")
        elif name in NAMED:
            yield value
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield from _lent(getattr(value, one.name, None), one.name)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _lent(one, name)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _lent(one, str(key))
