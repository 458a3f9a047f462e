"""The daemon, if one runs: whether it says of itself that it is ready."""

from __future__ import annotations

import asyncio

from service.address import daemon_url
from service.checkup.finding import Finding, fine, problem, warning
from service.client import ApiError, Client, DaemonUnavailable
from service.errors import ConfigError
from service.settings import Settings

ANSWER_S = 10.0


async def check(settings: Settings) -> list[Finding]:
    """Ask `/readyz`. A daemon that does not run is no problem: it may be about to be started."""
    try:
        url = daemon_url(settings)
    except ConfigError as error:
        return [warning("daemon", str(error))]
    try:
        client = Client(url, token=settings.http.api_token, timeout_s=ANSWER_S)
        answer = await asyncio.to_thread(client.ready)
    except DaemonUnavailable:
        return [warning("daemon", f"none answers at {url}", "start one with `tidemill up` or `tidemill serve`")]
    except ApiError as error:
        return [problem("daemon", f"{url}: {error}", "check TIDEMILL_URL")]
    found = [
        problem("daemon", f"{name}: {check['note']}", "see its log")
        for name, check in _checks(answer)
        if not check["ok"]
    ]
    found += [
        warning("daemon", f"{name} is {state}", "see `tidemill triggers`")
        for name, state in answer.get("triggers", {}).items()
        if state in ("retrying", "stopped")
    ]
    return found or [fine("daemon", f"ready at {url}")]


def _checks(answer: dict[str, dict[str, dict[str, str]]]) -> list[tuple[str, dict[str, str]]]:
    return list(answer.get("checks", {}).items())
