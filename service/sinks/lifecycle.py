"""How runs go, told as CloudEvents: which event an entry of the log is, and posting them to an address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from service.db.envelopes import heard_event
from service.db.rows import Row
from service.db.sinks import LogEntry
from service.model import RunState
from service.settings import EventMode
from service.sinks.base import Delivered, Facts, SinkTrouble, run_moves
from service.sinks.outgoing import Outgoing
from triggers.cloudevents_out import binary_http, structured
from triggers.event import Event
from triggers.replay import SHADOW_TRIGGER
from triggers.trace import continued

TYPE = "dev.tidemill.run."
# A status that says of this event, and not of the way to them, that they will not have it.
_REFUSED = (400, 413, 415, 422)
_TOLD = ("by", "epoch", "lost_by")


def run_event(installation: str, entry: LogEntry, run: Row | None) -> Event:
    """The event of a run's move. Made of the log's row, so it has the same id whoever tells it, however often.

    `run` adds what is known of the run now; nothing where it was removed meanwhile.
    """
    told = entry.told
    move, pipeline, run_id = told["move"], str(told.get("pipeline", "")), told["run"]
    data = {"run": run_id, "pipeline": pipeline, "state": move, **{name: told[name] for name in _TOLD if name in told}}
    return Event(
        source=f"tidemill:{installation}/pipelines/{quote(pipeline, safe='')}",
        id=entry.place,
        type=TYPE + ("started" if move == RunState.RUNNING else move),
        time=entry.at,
        subject=f"runs/{run_id}",
        datacontenttype="application/json",
        data=data | (_known(run, move) if run is not None else {}),
        extensions=_trace(run, f"{run_id}/{entry.place}"),
    )


def _known(run: Row, move: str) -> dict[str, Any]:
    known: dict[str, Any] = {"version": run["version"], "trigger": run["trigger"], "tags": orjson.loads(run["tags"])}
    known["queued_at"] = run["queued_at"].isoformat()
    if move in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED):
        for name in ("started_at", "finished_at"):
            known[name] = run[name].isoformat() if run[name] else None
    if move == RunState.FAILED and run["failure"]:
        known["failure"] = orjson.loads(run["failure"])
    if run["event_id"] is not None:
        known["event"] = {
            "source": run["source"],
            "id": run["event_id"],
            "type": run["type"],
            "subject": run["subject"],
        }
    return known


def _trace(run: Row | None, step: str) -> Mapping[str, str]:
    if run is None or run["envelope"] is None:
        return {}
    return continued(heard_event(run["envelope"]), run["event_key"].hex, step)


async def told_of(installation: str, entries: Sequence[LogEntry], facts: Facts) -> list[tuple[int, Event]]:
    """The events of those entries that tell where a run went, with their places in `entries`.

    Of runs in shadow nobody outside hears.
    """
    moves = run_moves(entries)
    runs = await facts.runs(sorted({one.told["run"] for _, one in moves})) if moves else {}
    found = [(index, one, runs.get(one.told["run"])) for index, one in moves]
    return [
        (index, run_event(installation, one, run))
        for index, one, run in found
        if run is None or run["trigger"] != SHADOW_TRIGGER
    ]


class HttpEvents:
    """Posts each event to one address, in order. An event that the address will not have is counted and left out."""

    name = "lifecycle:http"

    def __init__(self, installation: str, url: str, token: str | None, mode: EventMode) -> None:
        parts = urlsplit(url)
        self._installation = installation
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._where = f"{parts.hostname}{parts.path}"
        self._headers = {"User-Agent": "tidemill"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._write = structured if mode is EventMode.STRUCTURED else binary_http
        self._outgoing = Outgoing(url)

    async def deliver(self, entries: Sequence[LogEntry], facts: Facts) -> Delivered:
        """See `Sink`."""
        done = Delivered()
        for index, event in await told_of(self._installation, entries, facts):
            try:
                done += await self._post(event)
            except SinkTrouble as error:
                raise SinkTrouble(str(error), past=index, done=done, retry_after_s=error.retry_after_s) from error
        return done

    async def close(self) -> None:
        """Hang up."""
        await self._outgoing.close()

    async def _post(self, event: Event) -> Delivered:
        headers, body = self._write(event)
        reply = await self._outgoing.post(self._path, {**headers, **self._headers}, body)
        if 200 <= reply.status < 300:
            return Delivered(sent=1)
        if reply.status in _REFUSED:
            return Delivered(refused=1)
        raise SinkTrouble(
            f"{self._where} answers {reply.status} to events of runs: {reply.body[:200].decode('utf-8', 'replace')}",
            retry_after_s=reply.retry_after_s,
        )
