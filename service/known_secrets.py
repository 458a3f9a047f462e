"""The secrets a daemon knows from its start: of its settings, of its environment, of its triggers."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from service.settings import KNOWN, Settings
from stages.secrets import Secrets
from triggers.errors import InvalidTrigger
from triggers.secret import resolve

NAMED = ("secret", "token", "password")
# Variables whose names say that they are secrets: keys of stores, tokens of hosts, addresses that are all it takes to
# post. Stages print them too. What is shorter may be a word that means something elsewhere.
VARIABLE = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS|CONNECTION_STRING|WEBHOOK(_URL)?"
    r"|(API|ACCESS|ACCOUNT|PRIVATE|SECRET|STORAGE|SIGNING|ENCRYPTION|MASTER|DEPLOY|LICENSE)_?KEY)$",
    re.IGNORECASE,
)
SHORTEST_OF_A_VARIABLE = 8
IN_A_QUERY = ("password", "sslpassword")


def known_secrets(settings: Settings, triggers: Iterable[Any]) -> Secrets:
    """What is never shown."""
    given = [str(known.of(settings)) for known in KNOWN.values() if known.about.secret and known.of(settings)]
    inside = [found for url in given for found in _passwords(url)]
    lent = [value for trigger in triggers for value in _lent(trigger, "")]
    return Secrets([*given, *inside, *lent, *_of_the_environment()])


def _of_the_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if VARIABLE.search(name) and len(value) >= SHORTEST_OF_A_VARIABLE and not value.startswith(("env:", "file:")):
            yield value
            yield from _passwords(value)


def _passwords(url: str) -> Iterator[str]:
    with suppress(ValueError):
        parts = urlsplit(url)
        yield unquote(parts.password or "")
        yield from (value for name, value in parse_qsl(parts.query) if name in IN_A_QUERY)


def _lent(value: Any, name: str) -> Iterator[str]:
    """`env:NAME` wherever it stands in a trigger, and what a field called a secret holds or names."""
    if isinstance(value, str):
        if value.startswith("env:"):
            yield os.environ.get(value[4:], "")
        elif name in NAMED:
            with suppress(InvalidTrigger):
                yield from (one.decode(errors="surrogateescape") for one in resolve(value, name))
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield from _lent(getattr(value, one.name, None), one.name)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _lent(one, name)
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _lent(one, str(key))
