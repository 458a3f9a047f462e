"""What goes on, as `tidemill top` draws it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from service.cli.output import coloured, plain
from service.cli.views.runs import why
from service.words.events import event_name
from service.words.parts import how_far, number, took
from service.words.times import instant

if TYPE_CHECKING:
    from service.client import Client

SHOWN = 8
STATES = ("running", "waiting", "queued", "failed")
SCHEDULED = frozenset({"cron", "every"})
CONTINUOUS = ("-batches", "-stream")

Run = Mapping[str, Any]
Trigger = Mapping[str, Any]


class Glance(TypedDict):
    """What the daemon said: the latest runs of each state, its triggers, how they do, and whether it is ready."""

    at: str
    now: Mapping[str, Any]
    ready: Mapping[str, Any]
    triggers: Sequence[Trigger]
    runs: Mapping[str, Sequence[Run]]
    reviews_open: int


def glance(client: Client) -> Glance:
    """Ask for all of it. Raises `ApiError` and `DaemonUnavailable`."""
    pages = {state: client.runs(state=state, limit=SHOWN) for state in STATES}
    return {
        "at": datetime.now(UTC).isoformat(),
        "now": client.figures(),
        "ready": client.ready(),
        "triggers": client.triggers()["triggers"],
        "runs": {state: page["runs"] for state, page in pages.items()},
        "reviews_open": pages["failed"]["reviews_open"],
    }


def drawn(found: Glance, away: str = "") -> Group:
    """A page of it; `away` is why the daemon has not answered since."""
    now = instant(found["at"])
    parts: list[RenderableType] = [_head(found, away)]
    for name, triggers in modes(found["triggers"]).items():
        table = _triggers(triggers, found["now"], now) if triggers else Text("nothing", "dim")
        parts += [Text(f"\n{name}", style="bold"), table]
    if found["now"]["latencies"]:
        parts += [Text("\nfrom event to first stage", style="bold"), _latencies(found["now"]["latencies"])]
    for state in STATES:
        runs = found["runs"][state]
        if runs:
            more = f" (the latest {SHOWN})" if len(runs) == SHOWN else ""
            parts += [Text(f"\n{state}{more}", style="bold"), _runs(runs, now)]
    if not any(found["runs"].values()):
        parts.append(Text("\nno run is under way, and none has failed", "dim"))
    return Group(*parts)


def modes(triggers: Iterable[Trigger]) -> dict[str, list[Trigger]]:
    """The triggers of each of the three modes."""
    found: dict[str, list[Trigger]] = {"continuous": [], "scheduled": [], "triggered": []}
    for one in triggers:
        kind = one["kind"]
        mode = "scheduled" if kind in SCHEDULED else "continuous" if kind.endswith(CONTINUOUS) else "triggered"
        found[mode].append(one)
    return found


def _head(found: Glance, away: str) -> Text:
    if away:
        return Text.assemble(("no answer", "red"), f"  {plain(away)}; what follows is as it was")
    ready = found["ready"]
    wrong = [f"{name}: {check['note']}" for name, check in ready["checks"].items() if not check["ok"]]
    told = Text("ready", "green") if ready["ready"] else Text("not ready", "red")
    wait = found["now"]["people_wait"]
    needed = f"  {_counted(wait['gates'], 'gate')} and {_counted(wait['reviews'], 'failed run')} wait for a person"
    return Text.assemble(told, needed, *(f"  {plain(one)}" for one in wrong))


def _counted(count: int, what: str) -> str:
    return f"{number(count)} {what}" + ("" if count == 1 else "s")


def _triggers(triggers: Sequence[Trigger], figures: Mapping[str, Any], now: datetime) -> Table:
    table = _table(6, narrowed=(0, 3, 5))
    for one in triggers:
        seen, due = one["last_seen_at"], one["next_due_at"]
        lag = one["lag_records"]
        behind = "" if lag is None else f"{number(lag)} behind"
        times = (("last", seen), ("next", due))
        ticks = ", ".join(f"{which} {how_far(at, now)}" for which, at in times if at)
        pace = _pace(one["name"], figures)
        named, note = _whole_or_cut(one["name"]), _whole_or_cut(one["note"])
        table.add_row(named, coloured(one["state"]), behind, _whole_or_cut(pace), ticks, note)
    return table


def _pace(name: str, figures: Mapping[str, Any]) -> str:
    """Of micro-batches how fast and how large they come; of others how many of the latest runs they began."""
    sizes = figures["batches"].get(name)
    if not sizes:
        runs = figures["arrivals"].get(name, 0)
        return f"{runs} of the last {figures['newest']} runs" if runs else ""
    per_s = figures["records_per_s"].get(name)
    fast = "" if per_s is None else f"{number(round(per_s))} records/s, "
    return f"{fast}batches of {number(min(sizes))} to {number(max(sizes))}"


def _latencies(found: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(3)
    for one in found:
        halves = f"half within {took(one['p50_s'])}, 99 of 100 within {took(one['p99_s'])}"
        table.add_row(plain(one["kind"]), halves, f"of {number(one['runs'])} runs")
    return table


def _runs(runs: Sequence[Run], now: datetime) -> Table:
    table = _table(6, narrowed=(1, 4, 5))
    for run in runs:
        table.add_row(
            f"#{run['id']}",
            _whole_or_cut(run["pipeline"]),
            coloured(run["state"]),
            took(run["duration_s"]) or how_far(run["queued_at"], now),
            _whole_or_cut(event_name(run["event"], run["pipeline"])),
            _whole_or_cut(why(run)),
        )
    return table


def _table(columns: int, narrowed: Collection[int] = ()) -> Table:
    """Where there is too little room the widest of the columns `narrowed` give way: numbers and states stay."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for index in range(columns):
        table.add_column(no_wrap=index not in narrowed, overflow="ellipsis")
    return table


def _whole_or_cut(text: str) -> Text:
    """On one line, however little of it has room."""
    return Text(plain(text), no_wrap=True, overflow="ellipsis")
