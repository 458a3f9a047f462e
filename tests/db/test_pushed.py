"""Work reaches another process by push: looking now and then is only for what push has lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.db.writer import Writer
from service.loops import executor
from service.model import RunState
from service.settings import Role
from stages import Event, Pipeline, stage
from tests.db.daemons import daemon, reached, settings, start


@stage
async def take(event: Event) -> str:
    return event.id


taken = Pipeline("taken", [take])


def nothing_is_usual(writer: Writer, units: Any) -> None:
    """Each kind is written by its own statements."""


@pytest.mark.parametrize("usual", [True, False])
async def test_a_process_hears_of_runs_that_another_accepts(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, usual: bool
) -> None:
    monkeypatch.setattr(executor, "SAFETY_POLL_S", 3_600.0)
    if not usual:
        monkeypatch.setattr(Writer, "_usual", nothing_is_usual)
    async with (
        daemon(settings(database, tmp_path / "works", Role.EXECUTOR), taken),
        daemon(settings(database, tmp_path / "hears", Role.TRIGGERS), taken) as hears,
        asyncio.timeout(20),
    ):
        for number in range(30):
            run = await start(hears, "taken", str(number))
            assert await reached(hears, run) is RunState.SUCCEEDED
