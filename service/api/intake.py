"""The hot way in, without routing or models: webhooks and CloudEvents, answered once they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.allowance import Allowance
from service.api.answers import Json, events_answer
from service.api.once import accept_once
from service.api.problems import Problem
from service.api.requests import LIMITED_BY, header, read_body
from triggers.base import Binding
from triggers.cloudevents import CloudEvents, from_http
from triggers.delivery import Answer, Delivery
from triggers.event import Event
from triggers.match import arrival
from triggers.webhook import Webhook, admit, hooks, receive

if TYPE_CHECKING:
    from service.app import Daemon

HOOKS = "/hooks/"
EVENTS = "/api/v1/events"
ANYBODY = "*"
LARGE_BYTES = 65_536


class Intake:
    """Turns deliveries into arrivals. Raises `InvalidTrigger` at once for hooks that cannot be verified."""

    def __init__(self, daemon: Daemon) -> None:
        self._inbox = daemon.inbox
        self._clock = daemon.clock
        self._limit_bytes = daemon.settings.http.max_body_bytes
        self._guarded = daemon.settings.http.api_token is not None or daemon.settings.oidc.issuer is not None
        self._origins = daemon.settings.http.event_origins
        self._hooks = hooks(list(daemon.catalogue.bindings()))
        self._cloud_events = list(daemon.catalogue.bindings(CloudEvents))
        declared: dict[str, Webhook] = {name: listening[0].trigger for name, listening in self._hooks.items()}
        self._allowances = {name: Allowance(one.per_minute) for name, one in declared.items() if one.per_minute}

    def proves_sender(self, path: str) -> bool:
        """Whether deliveries to this hook are signed, so that they need no token of ours."""
        listening = self._hooks.get(path.removeprefix(HOOKS))
        return not listening or listening[0].trigger.verify is not None

    async def hook(self, scope: Scope, receiving: Receive, send: Send) -> None:
        """`POST /hooks/NAME`. The sender is known before anything is parsed, and counted once it is known."""
        name = scope["path"].removeprefix(HOOKS)
        listening = self._hooks.get(name)
        if listening is None:
            raise Problem(404, f"no hook is called {name[:80]!r}; {self._known()}")
        webhook: Webhook = listening[0].trigger
        if scope["method"] == "OPTIONS" and webhook.origins:
            await _consent(webhook.origins, "POST, OPTIONS", webhook.per_minute, scope)(scope, receiving, send)
            return
        _only(scope, "POST")
        own = f"max_body_bytes of Webhook({name!r})" if webhook.max_body_bytes else LIMITED_BY
        body = await read_body(scope, receiving, webhook.max_body_bytes or self._limit_bytes, own)
        delivery = Delivery.of(name, scope["headers"], body, self._clock.now(), _query(scope))
        # Digests and decoding of what is large would keep all others waiting, and its sender is not known yet.
        large = len(body) > LARGE_BYTES
        delivery = await asyncio.to_thread(admit, webhook, delivery) if large else admit(webhook, delivery)
        if name in self._allowances:
            self._allowances[name].take()
        found = await receive(webhook, delivery)
        if isinstance(found, Answer):
            await Response(found.body, found.status, found.headers, found.media_type)(scope, receiving, send)
        elif not found:
            await Response(status_code=204)(scope, receiving, send)
        else:
            answer = await self._answer(found, listening, name, delivery.signed)
            await answer(scope, receiving, send)

    def _known(self) -> str:
        """Which hooks there are. Where others than this machine may ask, that is for those who know the token."""
        if self._guarded:
            return "`tidemill triggers` lists those there are"
        return f"there are {', '.join(sorted(self._hooks)) or 'none: no pipeline declares a Webhook'}"

    async def events(self, scope: Scope, receiving: Receive) -> Response:
        """`POST /api/v1/events`: one CloudEvent or a batch, in any mode of the HTTP binding."""
        body = await read_body(scope, receiving, self._limit_bytes)
        events = from_http(scope["headers"], body, received_at=self._clock.now())
        return await self._answer(events, self._cloud_events, "")

    async def allow(self, scope: Scope, receiving: Receive, send: Send) -> None:
        """`OPTIONS /api/v1/events`, with the handshake of HTTP webhooks for CloudEvents, section 4."""
        await _consent(self._origins, "GET, POST, OPTIONS", None, scope)(scope, receiving, send)

    async def _answer(
        self, events: Sequence[Event], listening: Sequence[Binding], hook: str, signed: str = ""
    ) -> Response:
        arrivals = [arrival(listening, event) for event in events]
        receipts = await (accept_once(self._inbox, hook, signed, arrivals) if signed else self._inbox.accept(arrivals))
        status, answer = events_answer(receipts)
        return Json(answer, status)


def _consent(origins: Collection[str], methods: str, per_minute: int | None, scope: Scope) -> Response:
    """Whether the origin that asks may send. Those headers are the consent, not the status (section 4.2).

    The answer is given at once, so a `WebHook-Request-Callback` is never called.
    """
    answer = Response(status_code=204, headers={"Allow": methods})
    origin = header(scope, b"webhook-request-origin")
    if origin is not None and (ANYBODY in origins or origin.strip().lower() in {one.lower() for one in origins}):
        answer.headers["WebHook-Allowed-Origin"] = origin
        answer.headers["WebHook-Allowed-Rate"] = str(per_minute or ANYBODY)
    return answer


def _query(scope: Scope) -> Mapping[str, str]:
    raw: bytes = scope["query_string"]
    if not raw:
        return {}
    try:
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise Problem(400, "the query has more than 100 fields") from None


def _only(scope: Scope, method: str) -> None:
    if scope["method"] != method:
        raise Problem(405, f"this address takes {method} only", headers={"Allow": method})
