"""Finds the coroutine function that `tidemill up --feed` runs beside the daemon."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from service.errors import ConfigError


def load_feed(spec: str) -> Callable[[Path, str], Coroutine[Any, Any, None]]:
    """The function `package.module:name`, called with the root folder and the broker's address.

    Raises `ConfigError` when there is none.
    """
    module, _, name = spec.partition(":")
    try:
        feed: Callable[[Path, str], Coroutine[Any, Any, None]] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"--feed {spec}: {error}: name a function as `package.module:name`") from error
    if not inspect.iscoroutinefunction(feed):
        raise ConfigError(f"--feed {spec}: it is no coroutine function: declare it with `async def`")
    return feed
