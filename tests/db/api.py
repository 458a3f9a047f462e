"""A daemon that answers over HTTP, and pipelines to ask it about."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel

from service import values
from service.app import Daemon
from service.client import Client
from service.model import RunState
from service.oidc_settings import Oidc
from service.settings import Http, Role
from stages.base import StageContext, stage
from stages.errors import Permanent
from stages.gates import approved
from stages.pipeline import Pipeline
from stages.registry import NewVersion
from tests.db.daemons import daemon, reached, settings
from triggers.approval import Approval
from triggers.base import KafkaAccess
from triggers.cloudevents import CloudEvents
from triggers.event import Event
from triggers.manual import Manual
from triggers.signatures import GitHub
from triggers.webhook import Webhook

SECRET = "the secret of the hook"
JSON = {"Content-Type": "application/json"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


class Hold:
    """What keeps runs of `endless` going until a test lets go."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    def renew(self) -> None:
        """Hold what begins from now on, in the loop of this test, whatever an earlier one let go."""
        self.released = asyncio.Event()


hold = Hold()


class Params(BaseModel):
    """What `sums` takes."""

    factor: int = 2


@stage
async def add(event: Event, params: Params) -> int:
    return 40 + params.factor


@stage(reuse="run")
async def double(add: int, context: StageContext) -> int:
    context.logger.info("doubling %s", add)
    context.record_metrics(before=add)
    context.logger.info("doubled")
    return add * 2


@stage(reuse="run")
async def breaks(event: Event) -> int:
    raise Permanent("it is broken")


@stage(reuse="run")
async def holds(event: Event) -> int:
    await hold.released.wait()
    return 1


@stage(reuse="run")
async def fit(event: Event) -> dict[str, int]:
    return {"slope": 3}


@stage(reuse="run")
async def publish(fit: dict[str, int], context: StageContext) -> int:
    assert context.registry is not None
    new = NewVersion(
        model="line", artifacts={"model": context.artifact_digests["fit"]}, run_id=context.run_id, pipeline="line"
    )
    made = await context.registry.register(new, idempotency_key=context.idempotency_key)
    return made.version


@dataclasses.dataclass
class Reading:
    """A part of an answer."""

    value: float


def answer(model: dict[str, int], payload: Any) -> dict[str, Any]:
    """Serves `line`. It raises what functions of users raise."""
    if payload.get("fault"):
        raise RuntimeError("a fault of ours")
    if payload.get("nothing_like_json"):
        return {"y": object()}
    if odd := payload.get("odd"):
        return {"y": [1.0, None, Reading(float(odd))]}
    if payload.get("library_fault"):
        json.loads("{")
    return {"y": [model["slope"] * x for x in payload["x"]]}


sums = Pipeline(
    "sums",
    [add, double],
    on=[
        Webhook("plain"),
        Webhook("signed", verify=GitHub(secret=SECRET)),
        CloudEvents(where={"type": "sum"}, params={"factor": "data.factor"}),
    ],
)
gated = Pipeline("gated", [add, double], gates={("add", "double"): approved(by="leads")})
follows = Pipeline("follows", [add], on=[Approval(pipeline="gated")])
off = Pipeline("off", [add], on=[Manual(enabled=False)])
broken = Pipeline("broken", [breaks])
endless = Pipeline("endless", [holds])
line = Pipeline("line", [fit, publish], serve=answer)
PIPELINES = (sums, gated, follows, off, broken, endless, line)


@dataclasses.dataclass(frozen=True, slots=True)
class Api:
    """The daemon, an HTTP client of its address, and our own client."""

    daemon: Daemon
    http: httpx.AsyncClient
    client: Client

    async def call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call the synchronous client off the loop, which is also the daemon's."""
        return await asyncio.to_thread(function, *arguments, **named)

    async def post(self, path: str, json: Any = None, **named: Any) -> httpx.Response:
        return await self.http.post(path, json=json, **named)

    async def start(self, pipeline: str, *states: RunState, **params: Any) -> int:
        """Start a run by hand and wait until it is in one of `states` (default: finished)."""
        answer = await self.post(f"/api/v1/pipelines/{pipeline}/runs", {"params": params})
        assert answer.status_code == 202, answer.text
        run_id: int = answer.json()["events"][0]["runs"][0]
        await reached(self.daemon, run_id, *states)
        return run_id


@asynccontextmanager
async def api(
    database: str,
    folder: Path,
    *roles: Role,
    pipelines: tuple[Pipeline, ...] = PIPELINES,
    groups: str = "",
    kafka: KafkaAccess | None = None,
    oidc: Oidc | None = None,
    **http: Any,
) -> AsyncIterator[Api]:
    """A daemon with these HTTP settings; it takes events and, by default, drives runs. `endless` holds anew."""
    hold.renew()
    given = settings(database, folder, *(roles or (Role.API, Role.EXECUTOR)))
    given = dataclasses.replace(given, http=Http(**{"port": 0, **http}), groups=values.groups(groups))
    given = dataclasses.replace(given, oidc=oidc or Oidc())
    async with (
        daemon(given, *pipelines, kafka=kafka) as one,
        httpx.AsyncClient(base_url=one.address, timeout=20) as client,
    ):
        yield Api(one, client, Client(one.address, http.get("api_token")))


def problem(response: httpx.Response, status: int) -> str:
    """The detail of a problem document, after its form was checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"]
    assert "Traceback" not in response.text
    detail: str = document["detail"]
    return detail


def cloudevent(event_id: str = "1", kind: str = "sum", **more: Any) -> dict[str, Any]:
    """A CloudEvent in structured form."""
    return {"specversion": "1.0", "id": event_id, "source": "/tests", "type": kind, **more}
