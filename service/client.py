"""The Python client of the API: synchronous, and quick to import. `AsyncClient` beside it is awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from service.callers import is_somebodys
from service.calls.base import TIMEOUT_S, ApiError, DaemonUnavailable
from service.calls.everything import AllCalls
from service.calls.runs import WaitTimeout
from service.transport import Blocking

if TYPE_CHECKING:
    from service.async_client import AsyncClient

__all__ = ["TIMEOUT_S", "ApiError", "AsyncClient", "Client", "DaemonUnavailable", "WaitTimeout"]

P = ParamSpec("P")
T = TypeVar("T")


def __getattr__(name: str) -> Any:
    """`AsyncClient`, imported by whoever wants it: the command line does without an event loop."""
    if name == "AsyncClient":
        from service.async_client import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def finished(call: Coroutine[Any, Any, T]) -> T:
    """The answer of a call over a transport that waits for nothing: it is there at the first step."""
    try:
        call.send(None)
    except StopIteration as end:
        answer: T = end.value
        return answer
    raise AssertionError("a call over connections that block has waited")


def now(call: Callable[Concatenate[AllCalls, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Client, P], T]:
    """The same call, answered before it returns."""

    @wraps(call)
    def answered(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return finished(call(client.calls, *args, **kwargs))

    return answered


def each(
    call: Callable[Concatenate[AllCalls, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Client, P], Iterator[T]]:
    """The same call, its answers one after the other."""

    @wraps(call)
    def iterated(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        answers = call(client.calls, *args, **kwargs)
        try:
            while True:
                yield finished(answers.__anext__())
        except StopAsyncIteration:
            return
        finally:
            finished(answers.aclose())

    return iterated


class Client:
    """Speaks to the daemon at `url`. Every method may raise `ApiError` and `DaemonUnavailable`.

    It answers with the documents of the API as they are, times as text; `GET /api/v1/openapi.json` describes them.
    One may be shared by threads: each call has a connection of its own. What each does stands at `AllCalls`.
    `has_own_name`: its token says who asks, so that no `by` is needed.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        self.calls = AllCalls(Blocking(url, token, timeout_s=timeout_s))
        self.url = self.calls.url
        self.has_own_name = is_somebodys(token)

    run = now(AllCalls.run)
    runs = now(AllCalls.runs)
    show = now(AllCalls.show)
    explain = now(AllCalls.explain)
    diff = now(AllCalls.diff)
    report = now(AllCalls.report)
    report_page = now(AllCalls.report_page)
    reviews = now(AllCalls.reviews)
    clean_up = now(AllCalls.clean_up)
    logs = now(AllCalls.logs)
    cancel = now(AllCalls.cancel)
    resume = now(AllCalls.resume)
    skip = now(AllCalls.skip)
    abandon = now(AllCalls.abandon)
    decide = now(AllCalls.decide)
    link = now(AllCalls.link)
    gates = now(AllCalls.gates)
    each_run = each(AllCalls.each_run)
    follow_logs = each(AllCalls.follow_logs)
    stream = each(AllCalls.stream)
    news = each(AllCalls.news)
    wait = now(AllCalls.wait)
    events = now(AllCalls.events)
    run_events = now(AllCalls.run_events)
    event = now(AllCalls.event)
    send_event = now(AllCalls.send_event)
    explain_event = now(AllCalls.explain_event)
    fire = now(AllCalls.fire)
    replay = now(AllCalls.replay)
    recorded = now(AllCalls.recorded)
    known = now(AllCalls.known)
    reconcile = now(AllCalls.reconcile)
    backtest = now(AllCalls.backtest)
    due = now(AllCalls.due)
    pipelines = now(AllCalls.pipelines)
    versions = now(AllCalls.versions)
    pipeline = now(AllCalls.pipeline)
    triggers = now(AllCalls.triggers)
    figures = now(AllCalls.figures)
    pauses = now(AllCalls.pauses)
    pause = now(AllCalls.pause)
    unpause = now(AllCalls.unpause)
    models = now(AllCalls.models)
    aliases = now(AllCalls.aliases)
    model = now(AllCalls.model)
    version = now(AllCalls.version)
    register_version = now(AllCalls.register_version)
    alias = now(AllCalls.alias)
    move_alias = now(AllCalls.move_alias)
    predict = now(AllCalls.predict)
    system = now(AllCalls.system)
    ready = now(AllCalls.ready)
    each_event = each(AllCalls.each_event)
    each_pipeline = each(AllCalls.each_pipeline)
    each_trigger = each(AllCalls.each_trigger)
    each_model = each(AllCalls.each_model)
    each_alias = each(AllCalls.each_alias)
    schedule = now(AllCalls.schedule)
    backfill = now(AllCalls.backfill)
    backfills = now(AllCalls.backfills)
    show_backfill = now(AllCalls.show_backfill)
    stop_backfill = now(AllCalls.stop_backfill)
    make_token = now(AllCalls.make_token)
    tokens = now(AllCalls.tokens)
    audit = now(AllCalls.audit)
    revoke_token = now(AllCalls.revoke_token)
    end_sessions = now(AllCalls.end_sessions)
