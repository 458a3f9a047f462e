"""Every error is transient or permanent by one rule, and is kept as text any database can hold."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import urllib.error
from concurrent.futures import Executor
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from stages import Permanent, Transient
from stages.environments.make import Environments
from stages.errors import InvalidParams, NoEnvironment
from stages.outcome import MESSAGE_LIMIT, OWN_FRAMES, TRACEBACK_LIMIT, Failed, Outcome, guarded, is_transient, record_of
from stages.params import parse_params
from stages.workers.foreground import Foreground
from stages.workers.link import Stopped
from triggers.errors import RecordsGone, SourceUnavailable


class Response:
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class HTTPStatusError(Exception):
    def __init__(self, response: Any) -> None:
        super().__init__("bad status")
        self.response = response


class Own(Exception):
    def __init__(self, transient: Any, retry_after_s: Any = None) -> None:
        super().__init__("own")
        self.transient = transient
        self.retry_after_s = retry_after_s


class TransportError(OSError):
    """As httpx and others name theirs."""


class ConnectTimeout(TransportError):
    pass


def status(code: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", code, "said", Message(), None)


def invalid() -> ValidationError:
    class Model(BaseModel):
        n: int

    with pytest.raises(ValidationError) as caught:
        Model(n="x")  # type: ignore[arg-type]
    return caught.value


PASSING = [
    ConnectionRefusedError(),
    BrokenPipeError(),
    TimeoutError(),
    socket.gaierror(socket.EAI_AGAIN, "name"),
    urllib.error.URLError(ConnectionRefusedError()),
    *(status(code) for code in (429, 502, 503, 504)),
    HTTPStatusError(Response(503)),
    HTTPStatusError({"ResponseMetadata": {"HTTPStatusCode": 503}}),
    ConnectTimeout(),
    Transient("later"),
    SourceUnavailable("broker"),
    Own(True),
]
LASTING = [
    ValueError(),
    TypeError(),
    AssertionError(),
    ImportError(),
    KeyError("x"),
    PermissionError(),
    FileNotFoundError(),
    MemoryError(),
    invalid(),
    *(status(code) for code in (400, 401, 404, 500)),
    HTTPStatusError(Response(404)),
    urllib.error.URLError("unknown url type"),
    Permanent("never"),
    RecordsGone("compacted"),
    Own(False),
    Own("perhaps"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_connections_timeouts_and_busy_servers_are_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_everything_else_is_permanent(error: Exception) -> None:
    assert not is_transient(error)


class Stubborn(ConnectionError):
    transient = False


def test_an_error_decides_for_itself_before_any_rule() -> None:
    assert not is_transient(Stubborn())
    assert not record_of(Stubborn()).transient


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        (Transient("x", retry_after_s=2.5), 2.5),
        (Own(True, "3"), 3.0),
        (Own(True, -1), 0.0),
        (Own(True, "soon"), None),
        (HTTPStatusError(Response(429, retry_after="7")), 7.0),
        (HTTPStatusError(Response(429, retry_after="Wed, 21 Oct 2015 07:28:00 GMT")), None),
        (ValueError(), None),
    ],
)
def test_how_long_to_wait_is_what_the_error_asks_for(error: Exception, wait_s: float | None) -> None:
    assert record_of(error).retry_after_s == wait_s


def deep(depth: int) -> None:
    if depth == 0:
        raise ValueError("at the bottom")
    deep(depth - 1)


def test_an_error_is_kept_with_its_dotted_type_and_its_last_frames() -> None:
    with pytest.raises(ValueError, match="bottom") as caught:
        deep(200)
    record = record_of(caught.value)
    assert (record.type, record.message) == ("ValueError", "at the bottom")
    assert record_of(Own(True)).type == f"{__name__}.Own"
    assert 'raise ValueError("at the bottom")' in record.traceback
    assert record.traceback.count("deep(depth - 1)") < 10


async def never(executor: Executor, stopping: threading.Event) -> Outcome:
    raise NotImplementedError


async def test_of_what_we_raise_ourselves_no_frame_is_shown(tmp_path: Path) -> None:
    with pytest.raises(InvalidParams) as wrong:
        parse_params("p", None, {"n": 1})
    with pytest.raises(NoEnvironment) as missing:
        await Environments(tmp_path).ready(tmp_path / "no.lock", print)
    with pytest.raises(Stopped) as stopped:
        Foreground(never, lambda outcome: None)._stop(signal.SIGTERM, None)
    for caught in (wrong, missing, stopped):
        assert caught.tb.tb_next is not None
        told = record_of(caught.value.with_traceback(caught.tb.tb_next)).traceback
        assert "File" not in told, told


def test_frames_of_ours_are_known_by_their_whole_path() -> None:
    assert [one for one in OWN_FRAMES if not Path(one).is_file()] == []
    scope: dict[str, Any] = {}
    exec(compile("def fails(): 1 / 0", "/author/stages/params.py", "exec"), scope)
    with pytest.raises(ZeroDivisionError) as caught:
        scope["fails"]()
    assert "/author/stages/params.py" in record_of(caught.value).traceback


def test_a_huge_message_and_what_no_database_holds_are_cut() -> None:
    record = record_of(ValueError("a\0b\ud800" + "x" * 100_000))
    assert record.message.startswith("a\\0b\\ud800x")
    assert len(record.message) == MESSAGE_LIMIT
    assert len(record.traceback) <= TRACEBACK_LIMIT
    (record.message + record.traceback).encode()


def test_an_error_that_cannot_be_told_is_still_kept() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "str() failed" in record_of(Broken()).message


async def test_what_is_guarded_never_ends_the_process() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def let_out() -> None:
        raise asyncio.CancelledError

    for work in (leave(), let_out()):
        assert isinstance(await guarded(work), Failed)


async def test_being_cancelled_is_not_a_failure() -> None:
    started = asyncio.Event()

    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(guarded(hang()))
        await started.wait()
        task.cancel()
    assert task.cancelled()


async def test_a_policy_that_raises_is_the_failure_that_is_told() -> None:
    def says(error: BaseException) -> bool | None:
        raise LookupError("the policy is broken")

    async def breaks() -> None:
        raise ConnectionError("gone")

    failed = await guarded(breaks(), says)
    assert isinstance(failed, Failed)
    assert (failed.error.type, failed.error.transient) == ("LookupError", False)


def _deeper(levels: int) -> None:
    if levels:
        _shallower(levels - 1)
    raise ValueError("far down")


def _shallower(levels: int) -> None:
    _deeper(levels)


def test_however_deep_it_was_raised_where_it_began_is_told() -> None:
    def the_stage() -> None:
        _deeper(40)

    try:
        the_stage()
    except ValueError as error:
        told = record_of(error).traceback
    assert "the_stage" in told
    assert told.count("File ") == 8
