"""Events, and what each led to."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from service.cli.output import Column, coloured, console, plain, print_facts, print_table
from service.words.events import event_name
from service.words.parts import moment

DATA_SHOWN = 2_000
SHORT_DATA = 200
EVENTS = (
    Column("ACCEPTED", from_width=60),
    Column("FATE"),
    Column("RUNS", right=True),
    Column("TYPE", from_width=90),
    Column("SOURCE", from_width=120, wrap=True),
    Column("ID", wrap=True),
)
# Where one fate was asked for, its reasons are what is wanted.
REASONS = (*(one for one in EVENTS if one.title not in ("RUNS", "TYPE", "SOURCE")), Column("REASON", wrap=True))
OUTCOMES = (
    Column("PIPELINE"),
    Column("FATE"),
    Column("RUN", right=True),
    Column("TRIGGER", from_width=60),
    Column("REASON", wrap=True),
)


def print_events(page: Mapping[str, Any], now: datetime, fate: str | None = None, *, chosen: bool = False) -> None:
    """One line an event, newest first; of those that have a `fate`, with the reason. `chosen`: not of all."""
    if fate is not None:
        print_table(REASONS, [_with_reason(event, now, fate) for event in page["events"]], nothing=f"none is {fate}")
        return
    rows = [
        (
            moment(event["accepted_at"], now),
            coloured(event["fate"]),
            _runs(event),
            event["type"],
            event["source"],
            event_name(event),
        )
        for event in page["events"]
    ]
    print_table(EVENTS, rows, nothing="no events like that" if chosen else "no events yet")


def _with_reason(event: Mapping[str, Any], now: datetime, fate: str) -> tuple[Any, ...]:
    reasons = dict.fromkeys(one["reason"] for one in event["outcomes"] if one["fate"] == fate and one["reason"])
    return moment(event["accepted_at"], now), coloured(fate), event_name(event), "; ".join(reasons)


def print_event(event: Mapping[str, Any], now: datetime) -> None:
    """Its fate in one sentence, then where it came from, what each pipeline made of it, and what it carries."""
    out = console()
    out.print(Text(plain(event["told"])))
    facts = {name: event[name] for name in ("id", "source", "type", "subject", "key") if event[name]}
    facts["occurred"] = moment(event["occurred_at"], now)
    facts["accepted"] = moment(event["accepted_at"], now)
    print_facts(facts.items())
    if event["outcomes"]:
        out.print()
        rows = [
            (one["pipeline"], coloured(one["fate"]), one["run"] or "", one["trigger"], one["reason"])
            for one in event["outcomes"]
        ]
        print_table(OUTCOMES, rows, nothing="")
    for one in event["replays"]:
        told = (
            f"replayed{' in shadow' if one['shadow'] else ''}: run {one['run']} of {one['pipeline']} ({one['state']})"
        )
        out.print(Text(plain(told)))
    for line in _data(event["cloudevent"]):
        out.print(Text(line))
    for other in event["others"]:
        out.print(Text(f"\nthe same id from {plain(other['source'])}: tidemill event {other['key']}"))


RUN_EVENTS = (
    Column("#", right=True),
    Column("ACCEPTED", from_width=60),
    Column("ID", wrap=True),
    Column("SOURCE", from_width=120, wrap=True),
    Column("DATA", wrap=True),
)


def print_run_events(page: Mapping[str, Any], now: datetime) -> None:
    """One line an event, in the order in which they were accepted."""
    rows = [
        (one["place"], moment(one["accepted_at"], now), one["id"], one["source"], _short(one["cloudevent"]))
        for one in page["events"]
    ]
    print_table(RUN_EVENTS, rows, nothing="this run has no events")


def _short(cloudevent: Mapping[str, Any]) -> str:
    told = " ".join(_data(cloudevent)).strip()
    return told if len(told) <= SHORT_DATA else f"{told[:SHORT_DATA]}..."


def raw_data(cloudevent: Mapping[str, Any]) -> bytes:
    """The bytes of an event's data: as they came where they could not be read, else its text or JSON."""
    if "data_base64" in cloudevent:
        return base64.b64decode(cloudevent["data_base64"])
    carried = cloudevent.get("data")
    if isinstance(carried, str) and not str(cloudevent.get("datacontenttype")).startswith("application/json"):
        return carried.encode()
    return b"" if carried is None else json.dumps(carried, ensure_ascii=False).encode()


def _runs(event: Mapping[str, Any]) -> str:
    return " ".join(str(one["run"]) for one in event["outcomes"] if one["run"] is not None)


def _data(cloudevent: Mapping[str, Any]) -> list[str]:
    """The payload, cut where it is long: `--json` shows all of it."""
    carried = cloudevent.get("data", cloudevent.get("data_base64"))
    if carried is None:
        return []
    told = carried if isinstance(carried, str) else json.dumps(carried, indent=2, ensure_ascii=False)
    lines = ["", *(plain(line) for line in told[:DATA_SHOWN].splitlines())]
    return [*lines, "... (--json shows all of it)"] if len(told) > DATA_SHOWN else lines
