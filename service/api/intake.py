"""The hot way in, without routing or models: webhooks and CloudEvents, answered once they are committed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.answers import Json, events_answer
from service.api.problems import Problem
from service.api.requests import header, read_body
from triggers.base import Arrival, Binding
from triggers.cloudevents import CloudEvents, from_http
from triggers.event import Event
from triggers.match import offer
from triggers.webhook import hooks, receive

if TYPE_CHECKING:
    from service.app import Daemon

HOOKS = "/hooks/"
EVENTS = "/api/v1/events"


class Intake:
    """Turns deliveries into arrivals. Raises `InvalidTrigger` at once for hooks that cannot be verified."""

    def __init__(self, daemon: Daemon) -> None:
        self._inbox = daemon.inbox
        self._clock = daemon.clock
        self._limit_bytes = daemon.settings.http.max_body_bytes
        self._hooks = hooks(list(daemon.catalogue.bindings()))
        self._cloud_events = list(daemon.catalogue.bindings(CloudEvents))

    def proves_sender(self, path: str) -> bool:
        """Whether deliveries to this hook are signed, so that they need no token of ours."""
        listening = self._hooks.get(path.removeprefix(HOOKS))
        return not listening or listening[0].trigger.verify is not None

    async def hook(self, scope: Scope, receiving: Receive, send: Send) -> None:
        """`POST /hooks/NAME`."""
        name = scope["path"].removeprefix(HOOKS)
        listening = self._hooks.get(name)
        if listening is None:
            known = ", ".join(sorted(self._hooks)) or "none: no pipeline declares a Webhook"
            raise Problem(404, f"no hook is called {name[:80]!r}; there are {known}")
        _only(scope, "POST")
        body = await read_body(scope, receiving, self._limit_bytes)
        event = receive(listening[0].trigger, scope["headers"], body, self._clock.now())
        if event is None:
            await Response(status_code=204)(scope, receiving, send)
            return
        await self._accept([event], listening, scope, receiving, send)

    async def events(self, scope: Scope, receiving: Receive, send: Send) -> None:
        """`POST /api/v1/events`: one CloudEvent or a batch, in any mode of the HTTP binding."""
        body = await read_body(scope, receiving, self._limit_bytes)
        events = from_http(scope["headers"], body, received_at=self._clock.now())
        await self._accept(events, self._cloud_events, scope, receiving, send)

    async def allow(self, scope: Scope, receiving: Receive, send: Send) -> None:
        """`OPTIONS /api/v1/events`, with the handshake of HTTP webhooks for CloudEvents, section 4: any sender may."""
        answer = Response(status_code=204, headers={"Allow": "GET, POST, OPTIONS"})
        origin = header(scope, b"webhook-request-origin")
        if origin is not None:
            answer.headers["WebHook-Allowed-Origin"] = origin
            answer.headers["WebHook-Allowed-Rate"] = "*"
        await answer(scope, receiving, send)

    async def _accept(
        self, events: Sequence[Event], listening: Sequence[Binding], scope: Scope, receiving: Receive, send: Send
    ) -> None:
        arrivals = [Arrival(event, [offer(binding, event) for binding in listening]) for event in events]
        status, answer = events_answer(await self._inbox.accept(arrivals))
        await Json(answer, status)(scope, receiving, send)


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise Problem(405, f"this address takes {method} only", headers={"Allow": method})
