"""What came of an attempt: its output, or an error told in plain values and classed as transient or permanent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import Any, TypeVar

from stages.artifacts import ArtifactRef
from stages.subrun import SubRun

MESSAGE_LIMIT = 2000
# The longest that an error may ask to be left alone.
LONGEST_S = 365 * 86_400.0
TRACEBACK_LIMIT = 6000
SHOWN_FRAMES = 8
FIRST_FRAMES = 2
# What stands between a runner and the author's function, and what interrupts that.
_OURS = (
    "outcome.py",
    "invoke.py",
    "params.py",
    "threads.py",
    "values.py",
    "mapped.py",
    "gates/base.py",
    "gates/evaluate.py",
    "commands/attempt.py",
    "containers/engine.py",
    "environments/make.py",
    "runners/container.py",
    "runners/environment.py",
    "workers/foreground.py",
    "workers/limits.py",
    "workers/link.py",
    "workers/main_thread.py",
    "workers/worker.py",
)
_PYTHONS = (
    "asyncio/base_events.py",
    "asyncio/runners.py",
    "asyncio/tasks.py",
    "asyncio/threads.py",
    "concurrent/futures/thread.py",
    "contextlib.py",
)
# Whole paths: an author may have a stages/params.py too.
OWN_FRAMES = frozenset(
    [
        *(str(Path(__file__).parent / name) for name in _OURS),
        *(str(Path(asyncio.__file__).parents[1] / name) for name in _PYTHONS),
    ]
)
TRANSIENT_STATUS = {429, 502, 503, 504}
# Client libraries have roots of their own for "the other side did not answer"; they are known by name, so that none
# of them need be imported: requests, httpx, urllib3, aiohttp, asyncpg, psycopg, botocore, kafka.
TRANSIENT_NAMES = {
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "Timeout",
    "TimeoutError",
    "TimeoutException",
    "NetworkError",
    "RemoteProtocolError",
    "NewConnectionError",
    "ProtocolError",
    "ClientConnectionError",
    "ServerDisconnectedError",
    "PostgresConnectionError",
    "CannotConnectNowError",
    "EndpointConnectionError",
    "KafkaConnectionError",
    "gaierror",
}


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """An error as the run keeps it. `type` is its dotted name, `traceback` its first and last few frames."""

    type: str
    message: str
    traceback: str = ""
    transient: bool = False
    retry_after_s: float | None = None


@dataclass(slots=True)
class Succeeded:
    """The attempt's output, durable (inline or in the store), and what it measured.

    `events` are CloudEvents in JSON format that the stage emitted: they become real together with the result. Of an
    attempt in shadow they are what it would have done (`stages.shadow`).
    """

    output: ArtifactRef
    metrics: Mapping[str, float] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """The stage's own `when` says that there is nothing to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class Waits:
    """The stage asks for a sub-run, and has its result when that has ended."""

    sub_run: SubRun


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt failed; the stage's policy says what is next."""

    error: ErrorRecord


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker died with the attempt: killed, out of memory, crashed. Nothing is known of what it did."""

    reason: str


Outcome = Succeeded | Skipped | Waits | Failed | Lost
Result = TypeVar("Result")
Says = Callable[[BaseException], bool | None]


async def guarded(work: Awaitable[Result], says_transient: Says = lambda error: None) -> Result | Failed:
    """Run the author's code: whatever it raises is a `Failed`, even what is no `Exception` (a panic in polars is not).

    Only being cancelled, or closed, is raised. `says_transient` is what the stage's own policy knows of an error.
    """
    try:
        return await work
    except asyncio.CancelledError as error:
        # When nobody cancelled this task, a library of the author's let one out (aiokafka#647 does).
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        return Failed(record_of(error, says_transient))
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001  # the one place, around one attempt
        return Failed(record_of(error, says_transient))


def record_of(error: BaseException, says_transient: Says = lambda error: None) -> ErrorRecord:
    """An exception as plain values, safe to store as text. Where its author's code fails to class it, that is told."""
    try:
        transient, retry_after_s = _classed(error, says_transient)
    except BaseException as trouble:  # noqa: BLE001  # a policy or a property of the author's
        return _told(trouble, transient=False, retry_after_s=None)
    return _told(error, transient=transient, retry_after_s=retry_after_s)


def _classed(error: BaseException, says_transient: Says) -> tuple[bool, float | None]:
    said = says_transient(error)
    if said is not None and not isinstance(said, bool):
        raise TypeError(f"Retry(transient=...) returned a {type(said).__name__}: return True, False, or None")
    return is_transient(error) if said is None else said, _retry_after_s(error)


def _told(error: BaseException, *, transient: bool, retry_after_s: float | None) -> ErrorRecord:
    kind = type(error)
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    told = TracebackException.from_exception(error)
    frames = [one for one in told.stack if one.filename not in OWN_FRAMES]
    if len(frames) > SHOWN_FRAMES:
        # Where the author's function called what raised, however deep that was.
        frames = [*frames[:FIRST_FRAMES], *frames[FIRST_FRAMES - SHOWN_FRAMES :]]
    told.stack = StackSummary.from_list(frames)
    return ErrorRecord(
        type=f"{home}{kind.__qualname__}",
        message=_clean(str(told))[:MESSAGE_LIMIT],
        traceback=_clean("".join(told.format()))[-TRACEBACK_LIMIT:],
        transient=transient,
        retry_after_s=retry_after_s,
    )


def is_transient(error: BaseException) -> bool:
    """Whether trying again may help.

    An error's own `transient` decides. Else connections, timeouts and HTTP 429, 502, 503, 504 are transient, and
    everything else is permanent.
    """
    own = getattr(error, "transient", None)
    if isinstance(own, bool):
        return own
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    status = _status(error)
    if status is not None:
        return status in TRANSIENT_STATUS
    reason = getattr(error, "reason", None)
    if isinstance(reason, OSError):
        return is_transient(reason)
    return any(base.__name__ in TRANSIENT_NAMES for base in type(error).__mro__)


def _status(error: BaseException) -> int | None:
    """The HTTP status an error carries, wherever its library keeps it."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        response = response.get("ResponseMetadata", {})
        return response.get("HTTPStatusCode") if isinstance(response, Mapping) else None
    for holder in (error, response):
        for name in ("status_code", "status", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and 100 <= status < 600:
                return status
    return None


def _retry_after_s(error: BaseException) -> float | None:
    own = getattr(error, "retry_after_s", None)
    if own is None:
        headers = getattr(getattr(error, "response", error), "headers", None)
        own = headers.get("retry-after") if isinstance(headers, Mapping) else None
    try:
        seconds = float(own) if own is not None else None
    except (TypeError, ValueError, OverflowError):
        return None
    return None if seconds is None or math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_S)


def _clean(text: str) -> str:
    """Postgres text holds neither NUL nor lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
