"""The daemon's numbers in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from service.api.context import Context
from service.errors import DatabaseUnavailable
from service.loops.supervised import Supervised
from service.shapes.system import SinkShape
from stages.gates.evaluate import abandoned
from stages.runners.inline import InlineRunner
from triggers.base import ListenerState, TriggerStatus

if TYPE_CHECKING:
    from service.app import Daemon

MEDIA_TYPE = "text/plain; version=0.0.4"

Labels = Mapping[str, str]
Sample = tuple[Labels, float]


async def exposition(context: Context) -> str:
    """Every family. Those that only Postgres knows are left out while it is away."""
    text = Text()
    _process(text, context)
    _writer(text, context.daemon)
    _executor(text, context.daemon)
    _requests(text, context)
    _triggers(text, context.daemon)
    await _seen(text, context)
    await _runs(text, context)
    return text.whole()


class Text:
    """Families, one after the other."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, name: str, kind: str, says: str, samples: Iterable[Sample] | float) -> None:
        """A family and its samples, or its one value."""
        self._lines += [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]
        self.more(name, [({}, samples)] if isinstance(samples, int | float) else samples)

    def more(self, name: str, samples: Iterable[Sample]) -> None:
        """Samples of the family that was added last, under a name of their own."""
        self._lines += [f"{name}{_labels(labels)} {value:.17g}" for labels, value in samples]

    def whole(self) -> str:
        """The document."""
        return "\n".join(self._lines) + "\n"


def _labels(labels: Labels) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{told}}}" if told else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _process(text: Text, context: Context) -> None:
    text.add("tidemill_info", "gauge", "The version that runs.", [({"version": version("tidemill")}, 1)])
    text.add("process_cpu_seconds_total", "counter", "CPU time of the process.", time.process_time())
    text.add("process_start_time_seconds", "gauge", "When it started to serve.", context.meters.started)
    resident = _resident_bytes()
    if resident is not None:
        text.add("process_resident_memory_bytes", "gauge", "Memory of the process.", resident)


def _resident_bytes() -> int | None:
    """None where there is no /proc (macOS)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _writer(text: Text, daemon: Daemon) -> None:
    writer = daemon.writer
    text.add("tidemill_database_up", "gauge", "Whether Postgres takes writes.", float(writer.outage is None))
    text.add("tidemill_commits_total", "counter", "Transactions committed by the writer.", writer.commits)
    text.add("tidemill_writer_queue", "gauge", "Writes that wait for the next flush.", len(writer.waiting))
    accepted = [
        ({"trigger": kind, "fate": fate.value}, count) for (kind, fate), count in sorted(daemon.inbox.accepted.items())
    ]
    text.add("tidemill_events_total", "counter", "New events, by kind of trigger and by fate.", accepted)


def _executor(text: Text, daemon: Daemon) -> None:
    if daemon.executor is not None:
        text.add("tidemill_runs_driven", "gauge", "Runs this process drives now.", daemon.executor.running)
        text.add("tidemill_run_places", "gauge", "Runs it may drive at once.", daemon.settings.executor.max_runs)
    left = "Async stages and gates that overran their time, or were cancelled, and still run."
    text.add("tidemill_abandoned_tasks", "gauge", left, daemon.strays.left)
    inline = daemon.runners.get("inline")
    if isinstance(inline, InlineRunner):
        says = "Threads whose stages or gates overran their time, or were cancelled, and still run."
        text.add("tidemill_abandoned_threads", "gauge", says, inline.abandoned + abandoned())


def _requests(text: Text, context: Context) -> None:
    meters = context.meters
    answered = [
        ({"method": method, "route": route, "status": str(status)}, count)
        for (method, route, status), count in sorted(meters.requests.items())
    ]
    text.add("tidemill_http_requests_total", "counter", "Requests answered.", answered)
    name = "tidemill_http_request_seconds"
    text.add(name, "summary", "Time from a request to the start of its answer.", [])
    for route in sorted(meters.counts):
        text.more(f"{name}_sum", [({"route": route}, meters.seconds[route])])
        text.more(f"{name}_count", [({"route": route}, meters.counts[route])])


def _triggers(text: Text, daemon: Daemon) -> None:
    told = [status for listener in daemon.listeners for status in listener.statuses()]
    listening = [(_of(one), float(one.state is ListenerState.LISTENING)) for one in told]
    text.add("tidemill_trigger_listening", "gauge", "Whether a trigger of this process hears.", listening)
    lags = [(_of(one), one.lag_records) for one in told if one.lag_records is not None]
    text.add("tidemill_trigger_lag_records", "gauge", "Records that were written and not read yet.", lags)
    waits = [(_of(one), one.lag_s) for one in told if one.lag_s is not None]
    text.add("tidemill_trigger_lag_seconds", "gauge", "How long what waits has waited, at most.", waits)
    expected = [(_of(one), daemon.silence.since(one.binding)) for one in told if one.binding in daemon.silence.known]
    silent = [(labels, float(since is not None)) for labels, since in expected]
    text.add("tidemill_trigger_silent", "gauge", "Whether nothing came for longer than expect_every_s.", silent)
    restarts = [
        (_of(status), one.restarts)
        for one in daemon.listeners
        if isinstance(one, Supervised)
        for status in one.statuses()
    ]
    text.add("tidemill_trigger_restarts_total", "counter", "Unexpected deaths of what listens for it.", restarts)
    due = [(_of(one), one.next_due_at.timestamp()) for one in told if one.next_due_at is not None]
    text.add("tidemill_trigger_next_due_seconds", "gauge", "When a schedule is due next.", due)


async def _seen(text: Text, context: Context) -> None:
    """Also what was seen before this process began, or by another."""
    told = [status for listener in context.daemon.listeners for status in listener.statuses()]
    try:
        known = await context.views.triggers_seen()
    except DatabaseUnavailable:
        known = {}
    times = [(_of(one), [one.last_seen_at, known.get(one.binding)]) for one in told]
    seen = [(labels, max(at.timestamp() for at in both if at is not None)) for labels, both in times if any(both)]
    text.add("tidemill_trigger_last_seen_seconds", "gauge", "When a trigger last saw something.", seen)


def _of(status: TriggerStatus) -> Labels:
    pipeline, _, name = status.binding.partition("/")
    return {"pipeline": pipeline, "trigger": name, "kind": status.kind}


async def _runs(text: Text, context: Context) -> None:
    try:
        unfinished = await context.views.unfinished()
        reviews = await context.views.reviews_open()
        pools = await context.views.pools()
        sinks = await context.views.sinks(context.sinks)
    except DatabaseUnavailable:
        return
    counted = sorted(unfinished.items())
    samples = [({"pipeline": name, "state": state}, runs) for (name, state), (runs, _) in counted]
    text.add("tidemill_runs_unfinished", "gauge", "Runs of the whole installation that are not at an end.", samples)
    late = [({"pipeline": name, "state": state}, late) for (name, state), (_, late) in counted if late]
    text.add("tidemill_runs_late", "gauge", "Unfinished runs that should have been done by now.", late)
    text.add("tidemill_reviews_open", "gauge", "Failed runs of the whole installation that wait for a person.", reviews)
    places = [({"pool": one["name"]}, one["capacity"]) for one in pools]
    text.add("tidemill_pool_places", "gauge", "Runs that a pool lets run at once.", places)
    taken = [({"pool": one["name"]}, one["taken"]) for one in pools]
    text.add("tidemill_pool_taken", "gauge", "Runs that hold a place of a pool.", taken)
    _sinks(text, sinks)


def _sinks(text: Text, sinks: Sequence[SinkShape]) -> None:
    told = [({"sink": one["name"]}, one) for one in sinks]
    lags = [(labels, one["lag_s"]) for labels, one in told]
    text.add("tidemill_sink_lag_seconds", "gauge", "How long the oldest thing waits that a sink was not told.", lags)
    failing = [(labels, float(one["failing_since"] is not None)) for labels, one in told]
    text.add("tidemill_sink_failing", "gauge", "Whether a sink takes nothing now.", failing)
    sent = [(labels, one["delivered"]) for labels, one in told]
    text.add("tidemill_sink_delivered_total", "counter", "Things that sinks were told.", sent)
    refused = [(labels, one["refused"]) for labels, one in told]
    text.add("tidemill_sink_refused_total", "counter", "Things that sinks will not have.", refused)
