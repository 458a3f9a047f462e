"""The daemon, if one runs: whether it takes our token, is ready, and what it says of a database only it can reach."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from service.address import daemon_url
from service.checkup.clock import Skew, clock
from service.checkup.finding import Finding, fine, problem, warning
from service.client import ApiError, Client, DaemonUnavailable
from service.errors import ConfigError
from service.settings import Settings
from triggers.event import utc_now

ANSWER_S = 10.0
SILENT = ("retrying", "stopped")


async def check(settings: Settings) -> list[Finding]:
    """Ask it. One that does not run is no problem: it may be about to be started."""
    try:
        url = daemon_url(settings)
    except ConfigError as error:
        return [warning("daemon", str(error))]
    client = Client(url, token=settings.http.api_token, timeout_s=ANSWER_S)
    try:
        ready = await asyncio.to_thread(client.ready)
        found = list(_unready(ready))
        if not found or settings.database.url is None:
            found += await asyncio.to_thread(_database, client, embedded=settings.database.url is None)
            found.append(await asyncio.to_thread(_runs, client))
    except DaemonUnavailable:
        return [warning("daemon", f"none answers at {url}", "start one with `tidemill up` or `tidemill serve`")]
    except ApiError as error:
        return [problem("daemon", f"{url}: {error}", "check TIDEMILL_URL and TIDEMILL_API_TOKEN")]
    return [*found, *_silent(ready), *([fine("daemon", f"ready at {url}")] if ready["ready"] else [])]


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
    names = [one["name"] for one in client.pipelines()["pipelines"]]
    listening = len(client.triggers()["triggers"])
    return fine("daemon", f"it runs {', '.join(names) or 'no pipeline'}; triggers: {listening or 'none'}")


def _database(client: Client, *, embedded: bool) -> list[Finding]:
    """Ask for something that needs the token; where the database is embedded, that is the way to look at it."""
    before = utc_now()
    database = client.system()["database"]
    skew = Skew.between(before, datetime.fromisoformat(database["at"]), utc_now())
    return [fine("database", f"Postgres {database['version']}, embedded"), clock(skew)] if embedded else []
