"""What of others' complaints gets into the daemon's log."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Iterator

import pytest
from aiokafka.errors import UnknownMemberIdError

from service.logs.daemon import set_up_logs
from service.settings import Log


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    for one in root.handlers[:]:
        root.removeHandler(one)
    for one in handlers:
        root.addHandler(one)
    root.setLevel(level)


class GroupCoordinator:
    """Named as the client's own, which goes on with a commit that nobody waits for any more."""

    async def _do_commit_offsets(self, error: Exception) -> None:
        raise error


async def left_alone(error: Exception) -> None:
    task = asyncio.ensure_future(GroupCoordinator()._do_commit_offsets(error))
    await asyncio.wait({task})
    del task
    gc.collect()


@pytest.mark.parametrize(("error", "told"), [(UnknownMemberIdError("g"), False), (TypeError("a bug"), True)])
async def test_a_commit_that_was_given_up_complains_of_bugs_alone(
    error: Exception, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logs(Log())
    await left_alone(error)
    assert ("never retrieved" in capsys.readouterr().err) is told
