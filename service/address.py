"""Where the daemon answers, as seen from this machine."""

from __future__ import annotations

from service.errors import ConfigError
from service.settings import Settings

ANY = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104


def daemon_url(settings: Settings) -> str:
    """`client.url`, else where a daemon with these settings listens.

    Raises `ConfigError` where that cannot be known: port 0 is any free port.
    """
    if settings.client.url is not None:
        return settings.client.url
    if settings.http.port == 0:
        raise ConfigError("http.port is 0, any free port: set TIDEMILL_URL to the address that the daemon printed")
    host = ANY.get(settings.http.host, settings.http.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.http.port}"
