"""When those who watch look again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from queue import Queue
from typing import Never

import pytest

from service.calls.everything import AllCalls
from service.cli.hearing import Hearing
from service.errors import ServiceError

NEVER_S = 3600.0


class Daemon:
    """Tells what a test says; None is that its stream breaks."""

    def __init__(self) -> None:
        self.says: Queue[str | None] = Queue()

    def news(self) -> Iterator[str]:
        while (said := self.says.get()) is not None:
            yield said
        raise ServiceError("the stream broke off")


def test_it_is_looked_again_when_something_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cli.hearing.QUIET_S", NEVER_S)
    daemon = Daemon()
    hearing = Hearing(daemon.news)
    for said in ("it stands", "a run began", None):
        daemon.says.put(said)
        hearing.pause(NEVER_S, 0)
    # From now on it hears nothing.
    hearing.pause(0, 0)


def test_it_is_looked_again_though_nothing_is_said_and_listened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.cli.hearing.QUIET_S", 0.01)
    daemon = Daemon()
    hearing = Hearing(daemon.news)
    for said in ("it stands", None, "it stands again"):
        daemon.says.put(said)
        hearing.pause(NEVER_S, 0)
    hearing.pause(NEVER_S, 0)


STREAM = b"""retry: 1000

: nothing new

id: 7.1.1

id: 7.2.1
data: {"run": 3}

event: changed
data: {}

"""


class Recorded:
    """A stream as the daemon sends it, once."""

    url = "http://recorded"

    async def exchange(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> Never:
        raise AssertionError("nothing else is asked")

    async def lines(self, path: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        assert path == "/api/v1/stream?run=3"
        for line in STREAM.splitlines():
            yield line

    async def sleep(self, seconds: float) -> None:
        raise ServiceError("it ends here")


async def test_what_happened_to_others_is_no_news() -> None:
    told = []

    async def hear() -> None:
        async for one in AllCalls(Recorded()).news(3):
            told.append(one)

    with pytest.raises(ServiceError, match="it ends here"):
        await hear()
    assert len(told) == 4
