"""Which daemon the commands speak to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.client import Client


def open_client(config_file: Path | None, *, timeout_s: float | None = None) -> Client:
    """A client of the daemon that the settings name. Nothing is sent yet. Raises `ConfigError`."""
    from service.address import daemon_url
    from service.client import TIMEOUT_S, Client
    from service.config import read_settings

    settings = read_settings(config_file)
    return Client(daemon_url(settings), token=settings.http.api_token, timeout_s=timeout_s or TIMEOUT_S)
