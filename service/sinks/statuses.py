"""Commit statuses: the runs that one webhook starts, told to the code host their commits are at."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from service.db.envelopes import heard_event
from service.db.rows import Row
from service.db.sinks import LogEntry
from service.model import RunState
from service.sinks.base import Delivered, Facts, SinkTrouble, run_moves
from service.sinks.outgoing import Outgoing
from triggers.base import Binding
from triggers.cloudevents import restore
from triggers.reports import Call, Report, RunNews, State

_STATES: dict[str, State] = {
    RunState.SUCCEEDED: "success",
    RunState.FAILED: "failure",
    RunState.CANCELLED: "cancelled",
}


class StatusSink:
    """Tells each run's latest state. A status told twice is written over with itself."""

    def __init__(self, binding: Binding, report: Report) -> None:
        self.name = f"status:{binding.name}"
        self._binding = binding
        self._report = report
        self._outgoing = Outgoing(report.url)
        self._base = urlsplit(report.url).path.rstrip("/")

    async def deliver(self, entries: Sequence[LogEntry], facts: Facts) -> Delivered:
        """See `Sink`. Of several states of a run among the entries the last one is told."""
        latest = {one.told["run"]: one.told["move"] for _, one in run_moves(entries) if self._mine(one)}
        runs = await facts.runs(list(latest)) if latest else {}
        done = Delivered()
        for run_id, move in latest.items():
            call = self._call(runs.get(run_id), move)
            if call is not None:
                done += await self._send(call)
        return done

    async def close(self) -> None:
        """Hang up."""
        await self._outgoing.close()

    def _mine(self, entry: LogEntry) -> bool:
        return entry.told.get("pipeline") == self._binding.pipeline

    def _call(self, run: Row | None, move: str) -> Call | None:
        """None for a run that another trigger started, or that is gone, or whose event names no commit."""
        if run is None or run["trigger"] != self._binding.trigger.name or run["envelope"] is None:
            return None
        news = RunNews(run["id"], run["pipeline"], _STATES.get(move, "pending"))
        return self._report.call(news, restore(heard_event(run["envelope"])))

    async def _send(self, call: Call) -> Delivered:
        """Raises `SinkTrouble`."""
        headers = {**call.headers, "Content-Type": "application/json", "User-Agent": "tidemill"}
        reply = await self._outgoing.post(self._base + call.path, headers, call.body)
        verdict = self._report.verdict(reply.status, reply.headers, reply.body)
        if verdict == "again":
            told = reply.body[:200].decode("utf-8", "replace")
            raise SinkTrouble(
                f"status of {call.about}: {self._report.url} answers {reply.status}: {told}",
                retry_after_s=reply.retry_after_s,
            )
        return Delivered(sent=1) if verdict == "done" else Delivered(refused=1)
