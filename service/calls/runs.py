"""What a client asks about runs, and about the gates in them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from service.calls.base import Calls, Json, answer_of, given, part
from service.errors import ServiceError

FINISHED = ("succeeded", "failed", "cancelled")
PAGE = 500
# How soon a run is asked for again, and how often at most in the long run.
SOON_S, ONCE_A_S = 0.05, 1.0
# What entries of the run log have that are of something in a run.
PARTS = frozenset({"stage", "gate", "model"})


class RunCalls(Calls):
    """Part of `service.calls.everything.AllCalls`."""

    async def run(
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
        return await self._post(
            f"/api/v1/pipelines/{part(pipeline)}/runs", body | ({"by": by} if by else {}), again=False
        )

    async def runs(
        self,
        /,
        pipeline: str | None = None,
        state: str | None = None,
        limit: int = 50,
        before: int | None = None,
        event: str | None = None,
        tags: Sequence[str] = (),
        **more: str | None,
    ) -> Json:
        """Runs, newest first; `next` of the answer is `before` of the next page. `event` is an event's key.

        `more`: `trigger`, `text`, `since` and `until`, as in the API.
        """
        query = {"pipeline": pipeline, "state": state, "limit": limit, "before": before, "event": event, **more}
        return await self._get("/api/v1/runs", **query, tag=list(tags) or None)

    async def show(self, run_id: int) -> Json:
        """Everything about a run."""
        return await self._get(f"/api/v1/runs/{run_id}")

    async def explain(self, run_id: int, stage: str | None = None, since: int | None = None) -> Json:
        """Why each stage was computed or its result used again, compared with the run `since` (default: the last)."""
        return await self._get(f"/api/v1/runs/{run_id}/explain", stage=stage, **{"with": since})

    async def diff(self, run_id: int, other: int) -> Json:
        """Two runs side by side."""
        return await self._get(f"/api/v1/runs/{run_id}/diff/{other}")

    async def report(self, run_id: int) -> Json:
        """The audit record of a run."""
        return await self._get(f"/api/v1/runs/{run_id}/report")

    async def report_page(self, run_id: int) -> str:
        """The audit record as a page of HTML."""
        status, content = await self._exchange("GET", f"/api/v1/runs/{run_id}/report.html", None, {})
        return content.decode() if status < 400 else str(answer_of(status, content))

    async def reviews(self, pipeline: str | None = None, limit: int = 50, before: int | None = None) -> Json:
        """Failed runs that wait for a person, newest first, with the commands that apply."""
        return await self._get("/api/v1/reviews", pipeline=pipeline, limit=limit, before=before)

    async def clean_up(self, /, **wanted: Any) -> Json:
        """Remove what retention lets go of, or only tell: see `CleanUpBody`."""
        return await self._post("/api/v1/retention", wanted)

    async def logs(
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
        return await self._get(path, stage=stage, after=after, limit=limit, item=item, attempt=attempt)

    async def cancel(self, run_id: int, by: str | None = None) -> Json:
        """Ask for a run to be cancelled; the answer's `state` is `running` while its stage is being stopped."""
        return await self._post(f"/api/v1/runs/{run_id}/cancel", {"by": by} if by else {})

    async def resume(
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
        body = given(wanted)
        return await self._post(f"/api/v1/runs/{run_id}/resume", body)

    async def skip(
        self, run_id: int, stage: str, reason: str, by: str | None = None, *, on: str = "same", dry_run: bool = False
    ) -> Json:
        """Pass over a stage of a failed run, where what comes after can do without it, and go on; `on` and `dry_run` as
        for `resume`.
        """
        wanted = {"reason": reason, "by": by, "on": on, "dry_run": dry_run}
        body = given(wanted)
        return await self._post(f"/api/v1/runs/{run_id}/stages/{part(stage)}/skip", body)

    async def abandon(self, run_id: int, reason: str, by: str | None = None) -> Json:
        """Close the review of a failed run: nobody will resume it."""
        return await self._post(f"/api/v1/runs/{run_id}/abandon", {"reason": reason} | ({"by": by} if by else {}))

    async def decide(
        self, run_id: int, gate: str, decision: str, by: str | None, reason: str = "", subject: str | None = None
    ) -> Json:
        """Decide a waiting gate: `decision` is `approve` or `reject`. Doing it again changes nothing.

        `by` may be None where the token says who decides. `subject` is the digest (or its first 8 characters or more)
        of the artifact that was looked at: where the gate asks about another by now, nothing is decided.
        """
        body = given({"by": by, "reason": reason, "subject": subject or None})
        return await self._post(f"/api/v1/runs/{run_id}/gates/{part(gate)}/{decision}", body)

    async def link(
        self, run_id: int, gate: str, person: str, decision: str, expires_s: float | None = None, by: str | None = None
    ) -> Json:
        """A one-time link by which `person` decides a waiting gate: `decision` is `approve` or `reject`."""
        wanted = {"for": person, "decision": decision, "expires_s": expires_s, "by": by}
        body = given(wanted)
        return await self._post(f"/api/v1/runs/{run_id}/gates/{part(gate)}/links", body)

    async def gates(
        self, pipeline: str | None = None, gate: str | None = None, limit: int = 50, after: str | None = None
    ) -> Json:
        """Gates that wait for somebody, of the newest run first; `next` of the answer is `after` of the next page."""
        return await self._get("/api/v1/gates", pipeline=pipeline, gate=gate, limit=limit, after=after)

    async def each_run(self, /, **wanted: Any) -> AsyncGenerator[Json, None]:
        """All runs that `runs` would list, page by page, newest first."""
        before: int | None = None
        while True:
            page = await self.runs(limit=PAGE, before=before, **wanted)
            for run in page["runs"]:
                yield run
            if (before := page["next"]) is None:
                return

    async def follow_logs(
        self, run_id: int, stage: str | None = None, item: int | None = None, attempt: int | None = None
    ) -> AsyncGenerator[Json, None]:
        """Lines as they are logged, until the run has finished. A lost connection is taken up where it broke."""
        query = {"follow": "true", "stage": stage, "item": item, "attempt": attempt}
        async with aclosing(self._follow(f"/api/v1/runs/{run_id}/logs", query, "0")) as told:
            async for kind, _, data in told:
                if kind == "end":
                    return
                if kind == "log":
                    yield data

    async def stream(
        self, run: int | None = None, pipeline: str | None = None, after: str | None = None
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """What happens from now on, or after the place `after`: each entry of the run log with its place.

        A lost connection is taken up where it broke; nothing is told twice. Where the database was restored to before
        that place, it goes on from now: look again at what you keep of it.
        """
        query = {"run": run, "pipeline": pipeline}
        async with aclosing(self._follow("/api/v1/stream", query, after or "")) as told:
            async for kind, place, data in told:
                if data is not None and kind not in ("anew", "changed"):
                    yield place, data

    async def news(self, run: int | None = None) -> AsyncGenerator[None, None]:
        """That something has happened, not what: it is time to look again. The first says that the stream stands.

        Without a run it tells also of what is in no log, such as a pause.
        """
        async with aclosing(self._follow("/api/v1/stream", {"run": run})) as told:
            async for _, place, data in told:
                # A place alone is how far the log has come with what happened to others.
                if data is not None or not place:
                    yield

    async def wait(self, run_id: int, until: Collection[str] = FINISHED, timeout_s: float | None = None) -> Json:
        """The run, once it is in one of these states: told of by the daemon, not asked for over and over.

        However much happens, the run is asked for once a second, and when it is told to be in such a state. A run at a
        gate is `waiting` until somebody decides. With `timeout_s` it is asked for again at least every second, and
        `WaitTimeout` raised with what it waits for.
        """
        run = await self.show(run_id)
        if run["state"] in until:
            return run
        if timeout_s is not None:
            return await self._asked_again(run, until, timeout_s)
        # The first that is told is that the stream stands: what happened before that is looked for.
        asked_s = float("-inf")
        async with aclosing(self._follow("/api/v1/stream", {"run": run_id})) as told:
            async for _, _, entry in told:
                if not _tells(entry, until) and time.monotonic() - asked_s < ONCE_A_S:
                    continue
                asked_s = time.monotonic()
                run = await self.show(run_id)
                if run["state"] in until:
                    return run
        return run

    async def _asked_again(self, run: Json, until: Collection[str], timeout_s: float) -> Json:
        """The run in one of these states, or `WaitTimeout`."""
        end_s, pause_s = time.monotonic() + timeout_s, SOON_S
        while run["state"] not in until:
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise WaitTimeout(run, until, timeout_s)
            await self._transport.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, ONCE_A_S)
            run = await self.show(run["id"])
        return run


def _tells(entry: Json | None, until: Collection[str]) -> bool:
    """Whether an entry of the run log is of the run itself, which has come into one of these states."""
    return entry is not None and entry.get("move") in until and PARTS.isdisjoint(entry)


class WaitTimeout(ServiceError, TimeoutError):
    """A run was not in the awaited state in time. `run` is its document as it was last."""

    def __init__(self, run: Json, until: Collection[str], timeout_s: float) -> None:
        self.run = run
        named = ", ".join(run["waiting_gates"])
        waits = run["waits_for"] or (f"a decision at {named}" if named else "")
        told = f"is {run['state']}" + (f" and waits for {waits}" if waits else "")
        super().__init__(f"after {timeout_s:g} s run {run['id']} {told}: it is not {' or '.join(until)} yet")
