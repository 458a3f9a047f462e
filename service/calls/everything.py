"""Every call of the API, told once: `service.client` answers them at once, `service.async_client` awaits them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from service.calls.access import AccessCalls
from service.calls.base import ApiError, Json, given, part, quoted
from service.calls.lists import ListedCalls
from service.calls.runs import PAGE, RunCalls
from service.calls.schedules import ScheduleCalls


class AllCalls(RunCalls, ScheduleCalls, ListedCalls, AccessCalls):
    """Every method may raise `ApiError` and `DaemonUnavailable`.

    They answer with the documents of the API as they are, times as text; `GET /api/v1/openapi.json` describes them.
    """

    async def events(
        self,
        /,
        kind: str | None = None,
        source: str | None = None,
        limit: int = 50,
        before: int | None = None,
        fate: str | None = None,
        pause: int | None = None,
        **more: str | None,
    ) -> Json:
        """Accepted events, newest first; `kind` is a CloudEvents type, `fate` what became of them in some pipeline.

        With the fate `paused`, `pause` is the one that held them back. `more`: `pipeline`, `trigger`, `key`, `text`,
        `since` and `until`, as in the API.
        """
        about = {"type": kind, "source": source, "fate": fate, "pause": pause, **more}
        return await self._get("/api/v1/events", limit=limit, before=before, **about)

    async def run_events(self, run_id: int, limit: int = 50, after: int | None = None) -> Json:
        """The events that share a run, in the order in which they were accepted."""
        return await self._get(f"/api/v1/runs/{run_id}/events", limit=limit, after=after)

    async def event(self, event_id: str) -> Json:
        """An event by its id or key, and what became of it."""
        return await self._get(f"/api/v1/events/{part(event_id)}")

    async def send_event(self, cloudevent: Mapping[str, Any]) -> Json:
        """Send a CloudEvent in its structured JSON form. The same `source` and `id` are the same event."""
        return await self._ask("POST", "/api/v1/events", cloudevent, content_type="application/cloudevents+json")

    async def explain_event(
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
        return await self._post(
            "/api/v1/explain", {name: value for name, value in wanted.items() if value}, again=False
        )

    async def fire(self, /, trigger: str, *, key: str | None = None, **wanted: Any) -> Json:
        """Make the event that a trigger would make. With the same `key` it is the same event, however often.

        `payload` (text), `path`, `headers`, `record_key`, `at` (RFC 3339), `by` and `dry_run` are as in the API.
        """
        body = {"name": trigger, "id": key or str(uuid4()), **wanted}
        return await self._post("/api/v1/fire", given(body), again=False)

    async def replay(self, /, event: str, *, key: str | None = None, **wanted: Any) -> Json:
        """Run an accepted event (its id or key) again, in shadow. With the same `key` it is the same replay.

        `pipeline`, `on`, `effects`, `reuse` and `by` are as in the API.
        """
        body = {"event": event, "id": key or str(uuid4()), **wanted}
        return await self._post("/api/v1/replays", given(body), again=False)

    async def recorded(
        self, since: str, until: str, *, source: str | None = None, after: int | None = None, limit: int = 1000
    ) -> Json:
        """Events accepted in a time, whole and oldest first; `next` of the answer is `after` of the next page."""
        return await self._get("/api/v1/inbox", **{"from": since, "to": until}, source=source, after=after, limit=limit)

    async def known(self, source: str, ids: Sequence[str]) -> Json:
        """Those of `ids` of which there is an event of this source."""
        return await self._post("/api/v1/inbox/known", {"source": source, "ids": list(ids)}, again=False)

    async def reconcile(
        self, trigger: str | None = None, *, since: str | None = None, until: str | None = None, repair: bool = False
    ) -> Json:
        """Compare sources with the inbox; `repair` accepts what is missing."""
        wanted = {"trigger": trigger, "from": since, "to": until, "repair": repair}
        return await self._post("/api/v1/reconcile", given(wanted))

    async def backtest(self, /, trigger: str, **wanted: Any) -> Json:
        """What a trigger with other settings would have done: `from`, `to`, `where`, `cron` and more as in the API."""
        body = {"trigger": trigger, **wanted}
        return await self._post("/api/v1/backtests", given(body), again=False)

    async def due(self, trigger: str, since: str, until: str) -> Json:
        """When a declared schedule was due in a time, and since when the daemon has known it."""
        return await self._post("/api/v1/backtests/due", {"trigger": trigger, "from": since, "to": until}, again=False)

    async def versions(self, pipeline: str, limit: int | None = None, before: str | None = None) -> Json:
        """The versions of a pipeline, newest first; `next` of the answer is `before` of the next page."""
        return await self._get(f"/api/v1/pipelines/{part(pipeline)}/versions", limit=limit, before=before)

    async def pipeline(self, name: str) -> Json:
        """One pipeline: stages, arrows, gates, triggers, parameters."""
        return await self._get(f"/api/v1/pipelines/{part(name)}")

    async def figures(self) -> Json:
        """How things go just now: unfinished runs; of the newest what came, how fast, and how soon a stage began."""
        return await self._get("/api/v1/now")

    async def pauses(self) -> Json:
        """What is paused."""
        return await self._get("/api/v1/pauses")

    async def pause(self, what: str, reason: str = "", by: str | None = None) -> Json:
        """Let a pipeline, or a trigger (`pipeline/trigger`), start nothing. Doing it again changes nothing."""
        return await self._post("/api/v1/pauses", {"what": what, "reason": reason} | ({"by": by} if by else {}))

    async def unpause(self, what: str, by: str | None = None) -> Json:
        """Let it start runs again."""
        return await self._post("/api/v1/pauses/lift", {"what": what} | ({"by": by} if by else {}))

    async def model(self, name: str, limit: int = 50, before: int | None = None) -> Json:
        """A model's versions, newest first."""
        return await self._get(f"/api/v1/models/{part(name)}", limit=limit, before=before)

    async def version(self, name: str, version: int, before: str | None = None) -> Json:
        """One version, and how many predictions it has answered, by the day (`before` one)."""
        return await self._get(f"/api/v1/models/{part(name)}/versions/{version}", before=before)

    async def register_version(self, name: str, version: Mapping[str, Any], idempotency_key: str) -> Json:
        """Register a version; the same key returns the version it made first."""
        headers = {"Idempotency-Key": quoted(idempotency_key)}
        return await self._ask("POST", f"/api/v1/models/{part(name)}/versions", version, headers=headers)

    async def alias(self, name: str, alias: str) -> Json | None:
        """The version an alias points at, or None."""
        try:
            return await self._get(f"/api/v1/models/{part(name)}/aliases/{part(alias)}")
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def move_alias(self, name: str, alias: str, version: int, expect: int | None) -> Json:
        """Point an alias at a version if it still points at `expect` (None: nowhere); 409 otherwise."""
        path = f"/api/v1/models/{part(name)}/aliases/{part(alias)}"
        return await self._ask("PUT", path, {"version": version, "expect": expect})

    async def predict(self, model: str, payload: Any) -> Json:
        """Ask the version in production."""
        return await self._post(f"/models/{part(model)}/predict", payload, again=False)

    async def system(self) -> Json:
        """The database and the daemons that share it."""
        return await self._get("/api/v1/system")

    async def ready(self) -> Json:
        """Whether the daemon is ready and what was checked; it says so also when it is not."""
        try:
            return await self._get("/readyz")
        except ApiError as error:
            if error.status == 503 and "checks" in error.problem:
                return dict(error.problem)
            raise

    async def each_event(self, /, **wanted: Any) -> AsyncGenerator[Json, None]:
        """All events that `events` would list, page by page, newest first."""
        before: int | None = None
        while True:
            page = await self.events(limit=PAGE, before=before, **wanted)
            for event in page["events"]:
                yield event
            if (before := page["next"]) is None:
                return
