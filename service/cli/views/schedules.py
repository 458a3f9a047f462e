"""Ticks of schedules, and how far backfills are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from rich.text import Text

from service.cli.follow import FIRST_PAUSE_S, LONGEST_PAUSE_S, patiently
from service.cli.output import Column, coloured, console, plain, print_facts, print_table
from service.words.parts import bar, moment
from service.words.times import distance, instant

if TYPE_CHECKING:
    from service.client import Client

TICKS = (
    Column("DUE"),
    Column("", from_width=60),
    Column("FATE"),
    Column("RUN", right=True),
    Column("REASON", from_width=80, wrap=True),
)
BACKFILLS = (
    Column("ID", right=True),
    Column("TRIGGER", wrap=True),
    Column("STATE"),
    Column("DONE"),
    Column("FAILED", right=True),
    Column("RUNNING", right=True),
    Column("FROM", from_width=120),
    Column("TO", from_width=120),
    Column("ASKED", from_width=100),
)
OF_BACKFILL = (Column("DUE"), Column("STATE"), Column("RUN", right=True), Column("REASON", wrap=True))


def print_schedule(answer: Mapping[str, Any]) -> None:
    """What it is, and a line a tick, oldest first."""
    out, now = console(), instant(answer["now"])
    off = "" if answer["enabled"] else " (switched off)"
    out.print(Text(plain(f"{answer['trigger']}{off}: {answer['schedule']}; times of {answer['timezone']}")))
    ticks = [*answer["past"], *answer["coming"]]
    print_table(TICKS, [_tick(one, now) for one in ticks], nothing="it is never due")


def print_plan(plan: Mapping[str, Any]) -> None:
    """What a backfill would do."""
    out, now, left = console(), instant(plan["now"]), plan["would_run"]
    out.print(Text(plain(f"{plan['trigger']}: {plan['total']} ticks, {plan['known']} ran already, {left} would run")))
    zone = ZoneInfo(plan["timezone"])
    begins, ends = (instant(plan[name]).astimezone(zone) for name in ("from_at", "to_at"))
    out.print(Text(f"due from {begins:%Y-%m-%d %H:%M:%S} to {ends:%Y-%m-%d %H:%M:%S}, times of {plan['timezone']}"))
    if plan["ticks"]:
        print_table(TICKS, [_tick(one, now) for one in plan["ticks"]], nothing="")
    if plan["total"] > len(plan["ticks"]):
        out.print(f"and {plan['total'] - len(plan['ticks'])} more")


def print_backfills(page: Mapping[str, Any], now: datetime) -> None:
    """One line a backfill."""
    rows = [
        (
            one["id"],
            one["trigger"],
            coloured(one["state"]),
            _done(one),
            one["failed"] + one["cancelled"] + one["refused"] or "",
            one["under_way"] or "",
            one["from_at"],
            one["to_at"],
            moment(one["asked_at"], now),
        )
        for one in page["backfills"]
    ]
    print_table(BACKFILLS, rows, nothing="no backfill was asked for: tidemill backfill TRIGGER --from TIME")


def print_backfill(one: Mapping[str, Any], now: datetime) -> None:
    """All about one."""
    console().print(Text.assemble(f"backfill {one['id']} of {plain(one['trigger'])}: ", coloured(one["state"])))
    facts = {
        "ticks": f"{_done(one)}  {told(one)}",
        "from": f"{one['from_at']} to {one['to_at']}, {one['order']} first",
        "halted": one["halted"],
        "asked": f"{moment(one['asked_at'], now)} by {one['asked_by']}",
        "ended": moment(one["finished_at"], now),
    }
    print_facts(facts.items())
    rows = [(tick["due_at"], coloured(tick["state"]), tick["run"] or "", tick["reason"]) for tick in one["ticks"]]
    if rows:
        print_table(OF_BACKFILL, rows, nothing="")


def told(one: Mapping[str, Any]) -> str:
    """What became of the ticks so far, in a few words."""
    words = (
        ("succeeded", "succeeded"),
        ("failed", "failed"),
        ("cancelled", "cancelled"),
        ("refused", "could not run"),
        ("known", "ran before"),
        ("under_way", "under way"),
    )
    return ", ".join(f"{one[name]} {word}" for name, word in words if one[name]) or "nothing yet"


def follow_backfill(client: Client, begun: dict[str, Any]) -> dict[str, Any]:
    """Tell how far it is until it is over: a line for each change, or on a terminal one that changes."""
    out = console(stderr=True)
    pause_s, said = FIRST_PAUSE_S, ""
    answer = begun
    with out.status("") if out.is_terminal else nullcontext() as status:
        while True:
            line = f"backfill {answer['id']}: {_done(answer)} {told(answer)}"
            if status is not None:
                status.update(Text(line))
            elif line != said:
                out.print(Text(line))
            said = line
            if answer["state"] != "running":
                return answer
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.3, LONGEST_PAUSE_S)
            answer = patiently(lambda: client.show_backfill(begun["id"]), time.sleep)


def print_ending(one: Mapping[str, Any]) -> None:
    """How it ended, and what to look at."""
    out = console()
    halted = f" ({plain(one['halted'])})" if one["halted"] else ""
    out.print(Text.assemble(f"backfill {one['id']}: ", coloured(one["state"]), f"{halted}: {told(one)}"))
    if one["failed"] + one["cancelled"] + one["refused"]:
        out.print(f"what went wrong: tidemill backfills {one['id']}")


def _done(one: Mapping[str, Any]) -> str:
    over = one["looked_at"] - one["under_way"]
    return f"{bar(over / one['total'])} {over}/{one['total']}"


def _tick(tick: Mapping[str, Any], now: datetime) -> tuple[Any, ...]:
    fate = "" if tick["fate"] is None else coloured(tick["fate"])
    why = "before it was known here" if tick["before"] else tick["reason"]
    return (tick["local"], distance(instant(tick["due_at"]), now), fate, tick["run"] or "", why)
