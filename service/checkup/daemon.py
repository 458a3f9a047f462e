"""The daemon, if one runs: whether it takes our token, is ready, and what it says of a database only it can reach."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from service.address import daemon_url
from service.checkup.clock import Skew, clock
from service.checkup.finding import Finding, fine, problem, warning
from service.client import ApiError, Client, DaemonUnavailable
from service.config import is_loopback
from service.errors import ConfigError
from service.settings import Settings
from triggers.event import utc_now

ANSWER_S = 10.0
SILENT = ("retrying", "stopped")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was found of it, and the address of the broker that it embeds, where that can be looked at from here."""

    findings: list[Finding]
    embeds: str | None = None


async def check(settings: Settings) -> Asked:
    """Ask it. One that does not run is no problem: it may be about to be started."""
    try:
        url = daemon_url(settings)
    except ConfigError as error:
        return Asked([warning("daemon", str(error))])
    client = Client(url, token=settings.http.api_token, timeout_s=ANSWER_S)
    embeds = None
    try:
        ready = await asyncio.to_thread(client.ready)
        found = list(_unready(ready))
        if not found or settings.database.url is None:
            system = await asyncio.to_thread(_system, client)
            found += system.database if settings.database.url is None else []
            embeds = system.embeds if is_loopback(urlsplit(url).hostname or "") else None
            found.append(await asyncio.to_thread(_runs, client))
    except DaemonUnavailable:
        return Asked([warning("daemon", f"none answers at {url}", "start one with `tidemill up` or `tidemill serve`")])
    except ApiError as error:
        return Asked([problem("daemon", f"{url}: {error}", "check TIDEMILL_URL and TIDEMILL_API_TOKEN")])
    return Asked([*found, *_silent(ready), *([fine("daemon", f"ready at {url}")] if ready["ready"] else [])], embeds)


def _unready(ready: dict[str, Any]) -> Iterator[Finding]:
    for name, found in ready.get("checks", {}).items():
        if not found["ok"]:
            yield problem("daemon", f"{name}: {found['note']}", "see its log")


def _silent(ready: dict[str, Any]) -> Iterator[Finding]:
    for name, state in ready.get("triggers", {}).items():
        if state.startswith(SILENT):
            yield warning("daemon", f"{name} is {state}", "see `tidemill triggers`")


def _runs(client: Client) -> Finding:
    """What it has loaded, whatever is set here."""
    names = [one["name"] for one in client.each_pipeline()]
    listening = sum(1 for _ in client.each_trigger())
    return fine("daemon", f"it runs {', '.join(names) or 'no pipeline'}; triggers: {listening or 'none'}")


@dataclass(frozen=True, slots=True)
class _System:
    """What it says of its database, for whom it embeds it, and the address of the broker it embeds."""

    database: list[Finding]
    embeds: str | None


def _system(client: Client) -> _System:
    """Ask for something that needs the token; of what it embeds, that is the way to know."""
    before = utc_now()
    told = client.system()
    database, broker = told["database"], told.get("broker") or {}
    skew = Skew.between(before, datetime.fromisoformat(database["at"]), utc_now())
    found = [fine("database", f"Postgres {database['version']}, embedded"), clock(skew)]
    return _System(found, broker["bootstrap_servers"] if broker.get("embedded") else None)
