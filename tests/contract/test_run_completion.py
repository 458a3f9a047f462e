"""A shell completes the numbers of runs, as a daemon that answers at once tells them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.db.api import api

ROOT = Path(__file__).parents[2]
TIDEMILL = (sys.executable, "-c", "from service.cli.entry import main; main()")


def completed(words: str, url: str) -> str:
    """What fish is told, on either stream."""
    asked = {"_TIDEMILL_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    environment = {**os.environ, **asked, "_TYPER_COMPLETE_ARGS": words, "TIDEMILL_URL": url}
    done = subprocess.run(TIDEMILL, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return (done.stdout + done.stderr).rstrip("\n")


async def test_the_latest_runs_are_offered(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        runs = [await one.start("sums") for _ in range(2)]
        for command in ("show", "watch", "cancel", "resume", "logs"):
            told = await asyncio.to_thread(completed, f"tidemill {command} ", one.daemon.address)
            assert told.splitlines() == [f"{run}\tsums, succeeded" for run in reversed(runs)]
        assert await asyncio.to_thread(completed, "tidemill show 9", one.daemon.address) == ""


def test_nothing_is_offered_where_nobody_answers_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        assert completed("tidemill show ", url) == ""
        assert time.monotonic() - begun < 5
    assert completed("tidemill show ", url) == ""
    assert completed("tidemill show ", "no address") == ""
