"""The Python client of the API: synchronous, and quick to import."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from service.access_calls import AccessCalls
from service.calls import TIMEOUT_S, ApiError, DaemonUnavailable, Json, answer_of
from service.schedule_calls import ScheduleCalls

__all__ = ["TIMEOUT_S", "ApiError", "Client", "DaemonUnavailable"]

RECONNECTS = 5
RECONNECT_S = 1.0


class Client(AccessCalls, ScheduleCalls):
    """Speaks to the daemon at `url`. Every method may raise `ApiError` and `DaemonUnavailable`.

    It answers with the documents of the API as they are, times as text; `GET /api/v1/openapi.json` describes them.
    One may be shared by threads: each call has a connection of its own.
    """

    def run(
        self,
        pipeline: str,
        params: Mapping[str, Any] | None = None,
        data: Any = None,
        event_id: str | None = None,
        by: str | None = None,
        tags: Sequence[str] = (),
        priority: int | None = None,
    ) -> Json:
        """Start a run by hand. With the same `event_id` it is the same run, however often it is called.

        `priority` (-100 to 100) replaces that of the pipeline.
        """
        body = {"params": dict(params or {}), "data": data, "id": event_id or str(uuid4()), "priority": priority}
        body |= {"tags": list(tags)} if tags else {}
        return self._post(f"/api/v1/pipelines/{_part(pipeline)}/runs", body | ({"by": by} if by else {}))

    def runs(
        self,
        pipeline: str | None = None,
        state: str | None = None,
        limit: int = 50,
        before: int | None = None,
        event: str | None = None,
        tags: Sequence[str] = (),
    ) -> Json:
        """Runs, newest first; `next` of the answer is `before` of the next page. `event` is an event's key."""
        query = {"pipeline": pipeline, "state": state, "limit": limit, "before": before, "event": event}
        return self._get("/api/v1/runs", **query, tag=list(tags) or None)

    def show(self, run_id: int) -> Json:
        """Everything about a run."""
        return self._get(f"/api/v1/runs/{run_id}")

    def explain(self, run_id: int, stage: str | None = None, since: int | None = None) -> Json:
        """Why each stage was computed or its result used again, compared with the run `since` (default: the last)."""
        return self._get(f"/api/v1/runs/{run_id}/explain", stage=stage, **{"with": since})

    def diff(self, run_id: int, other: int) -> Json:
        """Two runs side by side."""
        return self._get(f"/api/v1/runs/{run_id}/diff/{other}")

    def report(self, run_id: int) -> Json:
        """The audit record of a run."""
        return self._get(f"/api/v1/runs/{run_id}/report")

    def report_page(self, run_id: int) -> str:
        """The audit record as a page of HTML."""
        status, content = self._exchange("GET", f"/api/v1/runs/{run_id}/report.html", None, {})
        return content.decode() if status < 400 else str(answer_of(status, content))

    def reviews(self, pipeline: str | None = None, limit: int = 50, before: int | None = None) -> Json:
        """Failed runs that wait for a person, newest first, with the commands that apply."""
        return self._get("/api/v1/reviews", pipeline=pipeline, limit=limit, before=before)

    def clean_up(self, **wanted: Any) -> Json:
        """Remove what retention lets go of, or only tell: see `CleanUpBody`."""
        return self._post("/api/v1/retention", wanted)

    def logs(
        self,
        run_id: int,
        stage: str | None = None,
        after: int = 0,
        limit: int = 1000,
        item: int | None = None,
        attempt: int | None = None,
    ) -> Json:
        """Lines a run logged, oldest first, from the one after the place `after`."""
        path = f"/api/v1/runs/{run_id}/logs"
        return self._get(path, stage=stage, after=after, limit=limit, item=item, attempt=attempt)

    def follow_logs(
        self, run_id: int, stage: str | None = None, item: int | None = None, attempt: int | None = None
    ) -> Iterator[Json]:
        """Lines as they are logged, until the run has finished. A lost connection is taken up where it broke."""
        wanted = {"stage": stage, "item": item, "attempt": attempt}
        last, lost = "0", 0
        while True:
            try:
                for kind, seq, data in self._events(run_id, wanted, last):
                    if kind == "end":
                        return
                    last, lost = seq or last, 0
                    if kind == "log":
                        yield data
                broken = DaemonUnavailable(self.url, ConnectionError("the stream broke off"))
            except DaemonUnavailable as error:
                broken = error
            lost += 1
            if lost > RECONNECTS:
                raise broken
            time.sleep(RECONNECT_S)

    def cancel(self, run_id: int, by: str | None = None) -> Json:
        """Ask for a run to be cancelled; the answer's `state` is `running` while its stage is being stopped."""
        return self._post(f"/api/v1/runs/{run_id}/cancel", {"by": by} if by else {})

    def resume(
        self,
        run_id: int,
        by: str | None = None,
        *,
        since: str | None = None,
        params: Mapping[str, Any] | None = None,
        on: str = "same",
        dry_run: bool = False,
    ) -> Json:
        """Queue a failed or cancelled run again; its finished stages stay.

        `since` makes that stage and all that need it again, `params` replace those of the run, `on="latest"` moves it
        to the version that is loaded. The answer's `plan` tells what runs again and why; `dry_run` only tells.
        """
        wanted = {"by": by, "from": since, "params": params, "on": on, "dry_run": dry_run}
        body = {name: value for name, value in wanted.items() if value is not None}
        return self._post(f"/api/v1/runs/{run_id}/resume", body)

    def skip(
        self, run_id: int, stage: str, reason: str, by: str | None = None, *, on: str = "same", dry_run: bool = False
    ) -> Json:
        """Pass over a stage of a failed run, where what comes after can do without it, and go on; `on` and `dry_run` as
        for `resume`.
        """
        wanted = {"reason": reason, "by": by, "on": on, "dry_run": dry_run}
        body = {name: value for name, value in wanted.items() if value is not None}
        return self._post(f"/api/v1/runs/{run_id}/stages/{_part(stage)}/skip", body)

    def abandon(self, run_id: int, reason: str, by: str | None = None) -> Json:
        """Close the review of a failed run: nobody will resume it."""
        return self._post(f"/api/v1/runs/{run_id}/abandon", {"reason": reason} | ({"by": by} if by else {}))

    def decide(
        self, run_id: int, gate: str, decision: str, by: str, reason: str = "", subject: str | None = None
    ) -> Json:
        """Decide a waiting gate: `decision` is `approve` or `reject`. Doing it again changes nothing.

        `subject` is the digest (or its first 8 characters or more) of the artifact that was looked at: where the gate
        asks about another by now, nothing is decided.
        """
        body = {"by": by, "reason": reason} | ({"subject": subject} if subject else {})
        return self._post(f"/api/v1/runs/{run_id}/gates/{_part(gate)}/{decision}", body)

    def link(
        self, run_id: int, gate: str, person: str, decision: str, expires_s: float | None = None, by: str | None = None
    ) -> Json:
        """A one-time link by which `person` decides a waiting gate: `decision` is `approve` or `reject`."""
        wanted = {"for": person, "decision": decision, "expires_s": expires_s, "by": by}
        body = {name: value for name, value in wanted.items() if value is not None}
        return self._post(f"/api/v1/runs/{run_id}/gates/{_part(gate)}/links", body)

    def events(
        self,
        kind: str | None = None,
        source: str | None = None,
        limit: int = 50,
        before: int | None = None,
        fate: str | None = None,
        pause: int | None = None,
    ) -> Json:
        """Accepted events, newest first; `kind` is a CloudEvents type, `fate` what became of them in some pipeline.

        With the fate `paused`, `pause` is the one that held them back.
        """
        about = {"type": kind, "source": source, "fate": fate, "pause": pause}
        return self._get("/api/v1/events", limit=limit, before=before, **about)

    def run_events(self, run_id: int, limit: int = 50, after: int | None = None) -> Json:
        """The events that share a run, in the order in which they were accepted."""
        return self._get(f"/api/v1/runs/{run_id}/events", limit=limit, after=after)

    def event(self, event_id: str) -> Json:
        """An event by its id or key, and what became of it."""
        return self._get(f"/api/v1/events/{_part(event_id)}")

    def send_event(self, cloudevent: Mapping[str, Any]) -> Json:
        """Send a CloudEvent in its structured JSON form. The same `source` and `id` are the same event."""
        return self._ask("POST", "/api/v1/events", cloudevent, content_type="application/cloudevents+json")

    def explain_event(
        self,
        payload: str = "",
        *,
        form: str | None = None,
        headers: Mapping[str, str] | None = None,
        record_key: str | None = None,
        event: str | None = None,
    ) -> Json:
        """What an event would do; nothing is done. `event` is the id or key of one that was accepted.

        Else `payload` is the text of a CloudEvent, or of what `form` says: `kafka:TOPIC`, `webhook:HOOK`, `file:PATH`.
        """
        wanted = {"event": event, "payload": payload, "as": form, "headers": dict(headers or {})}
        wanted["record_key"] = record_key
        return self._post("/api/v1/explain", {name: value for name, value in wanted.items() if value})

    def fire(self, trigger: str, *, key: str | None = None, **wanted: Any) -> Json:
        """Make the event that a trigger would make. With the same `key` it is the same event, however often.

        `payload` (text), `path`, `headers`, `record_key`, `at` (RFC 3339), `by` and `dry_run` are as in the API.
        """
        body = {"name": trigger, "id": key or str(uuid4()), **wanted}
        return self._post("/api/v1/fire", {name: value for name, value in body.items() if value is not None})

    def replay(self, event: str, *, key: str | None = None, **wanted: Any) -> Json:
        """Run an accepted event (its id or key) again, in shadow. With the same `key` it is the same replay.

        `pipeline`, `on`, `effects`, `reuse` and `by` are as in the API.
        """
        body = {"event": event, "id": key or str(uuid4()), **wanted}
        return self._post("/api/v1/replays", {name: value for name, value in body.items() if value is not None})

    def recorded(
        self, since: str, until: str, *, source: str | None = None, after: int | None = None, limit: int = 1000
    ) -> Json:
        """Events accepted in a time, whole and oldest first; `next` of the answer is `after` of the next page."""
        return self._get("/api/v1/inbox", **{"from": since, "to": until}, source=source, after=after, limit=limit)

    def known(self, source: str, ids: Sequence[str]) -> Json:
        """Those of `ids` of which there is an event of this source."""
        return self._post("/api/v1/inbox/known", {"source": source, "ids": list(ids)})

    def reconcile(
        self, trigger: str | None = None, *, since: str | None = None, until: str | None = None, repair: bool = False
    ) -> Json:
        """Compare sources with the inbox; `repair` accepts what is missing."""
        wanted = {"trigger": trigger, "from": since, "to": until, "repair": repair}
        return self._post("/api/v1/reconcile", {name: value for name, value in wanted.items() if value is not None})

    def backtest(self, trigger: str, **wanted: Any) -> Json:
        """What a trigger with other settings would have done: `from`, `to`, `where`, `cron` and more as in the API."""
        body = {"trigger": trigger, **wanted}
        return self._post("/api/v1/backtests", {name: value for name, value in body.items() if value is not None})

    def due(self, trigger: str, since: str, until: str) -> Json:
        """When a declared schedule was due in a time, and since when the daemon has known it."""
        return self._post("/api/v1/backtests/due", {"trigger": trigger, "from": since, "to": until})

    def pipelines(self) -> Json:
        """The pipelines the daemon has loaded."""
        return self._get("/api/v1/pipelines")

    def versions(self, pipeline: str) -> Json:
        """The versions of a pipeline, newest first."""
        return self._get(f"/api/v1/pipelines/{_part(pipeline)}/versions")

    def pipeline(self, name: str) -> Json:
        """One pipeline: stages, arrows, gates, triggers, parameters."""
        return self._get(f"/api/v1/pipelines/{_part(name)}")

    def triggers(self) -> Json:
        """Every trigger: its state, when it is due, when it last saw something, its lag."""
        return self._get("/api/v1/triggers")

    def pauses(self) -> Json:
        """What is paused."""
        return self._get("/api/v1/pauses")

    def pause(self, what: str, reason: str = "", by: str | None = None) -> Json:
        """Let a pipeline, or a trigger (`pipeline/trigger`), start nothing. Doing it again changes nothing."""
        return self._post("/api/v1/pauses", {"what": what, "reason": reason} | ({"by": by} if by else {}))

    def unpause(self, what: str, by: str | None = None) -> Json:
        """Let it start runs again."""
        return self._post("/api/v1/pauses/lift", {"what": what} | ({"by": by} if by else {}))

    def models(self) -> Json:
        """Registered models and their aliases."""
        return self._get("/api/v1/models")

    def model(self, name: str, limit: int = 50, before: int | None = None) -> Json:
        """A model's versions, newest first."""
        return self._get(f"/api/v1/models/{_part(name)}", limit=limit, before=before)

    def register_version(self, name: str, version: Mapping[str, Any], idempotency_key: str) -> Json:
        """Register a version; the same key returns the version it made first."""
        headers = {"Idempotency-Key": _quoted(idempotency_key)}
        return self._ask("POST", f"/api/v1/models/{_part(name)}/versions", version, headers=headers)

    def alias(self, name: str, alias: str) -> Json | None:
        """The version an alias points at, or None."""
        try:
            return self._get(f"/api/v1/models/{_part(name)}/aliases/{_part(alias)}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def move_alias(self, name: str, alias: str, version: int, expect: int | None) -> Json:
        """Point an alias at a version if it still points at `expect` (None: nowhere); 409 otherwise."""
        path = f"/api/v1/models/{_part(name)}/aliases/{_part(alias)}"
        return self._ask("PUT", path, {"version": version, "expect": expect})

    def predict(self, model: str, payload: Any) -> Json:
        """Ask the version in production."""
        return self._post(f"/models/{_part(model)}/predict", payload)

    def system(self) -> Json:
        """The database and the daemons that share it."""
        return self._get("/api/v1/system")

    def ready(self) -> Json:
        """Whether the daemon is ready and what was checked; it says so also when it is not."""
        try:
            return self._get("/readyz")
        except ApiError as error:
            if error.status == 503 and "checks" in error.problem:
                return dict(error.problem)
            raise


def _part(name: str) -> str:
    return quote(str(name), safe="")


def _quoted(key: str) -> str:
    """As a string of a structured field, so that any visible characters pass (RFC 8941 section 3.3.3)."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
