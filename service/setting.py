"""What one setting is: how it is read, what it is for, whether it is a secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from service.values import Reader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting. `default_text` replaces a default that depends on the machine."""

    read: Reader[Any]
    says: str
    env: str | None = None
    secret: bool = False
    default_text: str | None = None


def setting(
    default: T,
    read: Reader[Any],
    says: str,
    *,
    env: str | None = None,
    secret: bool = False,
    default_text: str | None = None,
) -> T:
    """A dataclass field that is one setting."""
    metadata = {"setting": Setting(read, says, env, secret, default_text)}
    return field(default=default, repr=not secret, metadata=metadata)
