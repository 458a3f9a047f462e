"""Deliveries a provider says it made to a hook, against the inbox. The token stays with whoever types the command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from service.errors import Invalid

if TYPE_CHECKING:
    from service.client import Client
    from service.deliveries import Delivered

CHUNK = 500


def compare_deliveries(
    client: Client, name: str, url: str, token_env: str, since: str | None, until: str | None, *, repair: bool
) -> dict[str, Any]:
    """What was delivered in that time (default: the last day) and has no event; an answer like that of the API.

    With `repair` the provider is asked to deliver it again. Raises `ProviderRefused`.
    """
    from service.deliveries import GitHubDeliveries
    from triggers.event import utc_now

    end = utc_now() if until is None else datetime.fromisoformat(until)
    begin = end - timedelta(days=1) if since is None else datetime.fromisoformat(since)
    trigger = _hook(client, name)
    provider = GitHubDeliveries(url, os.environ.get(token_env))
    deliveries = [one for one in provider.listed(begin, end) if one.event != "ping"]
    source = f"tidemill:hooks/{trigger['address'].rpartition('/')[2]}"
    known: set[str] = set()
    for start in range(0, len(deliveries), CHUNK):
        known |= set(client.known(source, [one.guid for one in deliveries[start : start + CHUNK]])["known"])
    missing = [one for one in deliveries if one.guid not in known]
    for one in missing if repair else ():
        provider.again(one)
    shape = {
        "trigger": trigger["name"],
        "kind": trigger["kind"],
        "checked": len(deliveries),
        "differences": len(missing),
        "lacks": [_lack(one, asked=repair) for one in missing],
        "notes": [f"deliveries by {url.split('/')[2]}"],
        "error": "",
    }
    answer = {"since": begin.isoformat(), "until": end.isoformat(), "differences": len(missing)}
    return {**answer, "repaired": 0, "triggers": [shape]}


def _lack(one: Delivered, *, asked: bool) -> dict[str, Any]:
    return {
        "what": f"delivery {one.guid} ({one.event}, {one.delivered_at.isoformat()})",
        "why": f"it was answered {one.answered or 'by nobody'}" + (": asked for again" if asked else ""),
        "expected": False,
        "repair": True,
        "event": None,
    }


def _hook(client: Client, name: str) -> Mapping[str, Any]:
    """The webhook trigger of this name. Raises `Invalid`."""
    told = list(client.each_trigger())
    hooks = [one for one in told if one["kind"] == "webhook" and name in (one["name"], one["trigger"])]
    if not hooks:
        known = ", ".join(one["name"] for one in told if one["kind"] == "webhook") or "none"
        raise Invalid(f"{name!r} is no webhook trigger, and only those have deliveries; there are {known}")
    found: Mapping[str, Any] = hooks[0]
    return found
