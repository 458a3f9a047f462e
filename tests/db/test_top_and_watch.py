"""`tidemill top` and `tidemill watch`, as programs of their own."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from service.cli.follow import follow
from service.model import RunState
from service.settings import Role
from tests.db.api import PIPELINES, api, hold
from tests.db.asking import tidemill
from tests.db.test_console_now import clocks


async def test_watching_ends_as_the_run_does(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        good, bad = await one.start("sums"), await one.start("broken")
        waiting = await one.start("gated", RunState.WAITING)
        codes = [await tidemill(one, "watch", str(run)) for run in (good, bad, waiting)]
        assert [code for code, _, _ in codes] == [0, 1, 3]
        assert "add succeeded" in codes[0][2]
        assert "breaks failed" in codes[1][2]
        assert f"next: tidemill approve {waiting} add-double" in codes[2][1]
        assert (await tidemill(one, "watch", "99"))[0] == 2
        assert (await tidemill(one, "watch", "x"))[0] == 2
        hold.renew()
        run = await one.start("endless", RunState.RUNNING)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(tidemill(one, "watch", str(run), "--json"))
            hold.released.set()
        code, out, _ = watching.result()
        assert (code, json.loads(out)["state"]) == (0, "succeeded")


async def test_watching_looks_as_it_is_told(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pause in ("follow.FIRST_PAUSE_S", "follow.LONGEST_PAUSE_S", "hearing.QUIET_S"):
        monkeypatch.setattr(f"service.cli.{pause}", 40.0)
    async with api(database, tmp_path) as one, asyncio.timeout(20):
        run = await one.start("endless", RunState.RUNNING)
        looks = follow(one.client, run)
        seen = [await one.call(next, looks)]
        hold.released.set()
        seen += await one.call(list, looks)
    assert [seen[0]["state"], seen[-1]["state"]] == ["running", "succeeded"]


async def test_scripts_go_by_the_exit_code(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:

        async def code(*arguments: str) -> int:
            return (await tidemill(one, *arguments))[0]

        assert [await code("run", name, "--wait") for name in ("sums", "broken", "gated")] == [0, 1, 3]
        assert await code("run", "nothing", "--wait") == 2
        [waiting] = (await one.http.get("/api/v1/runs?state=waiting")).json()["runs"]
        gate = (str(waiting["id"]), "add-double", "--by", "kim")
        assert await code("approve", *gate, "--subject", "0123456789") == 2
        assert await code("approve", *gate) == 0
        assert await code("watch", gate[0]) == 0
        assert await code("reject", *gate) == 2
        assert await code("approve", "99", *gate[1:]) == 2


async def test_what_goes_on_is_printed_once_where_nobody_looks(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=(*PIPELINES, clocks)) as one:
        waiting = await one.start("gated", RunState.WAITING)
        broken = await one.start("broken")
        code, out, _ = await tidemill(one, "top")
        told = json.loads((await tidemill(one, "top", "--json"))[1])
    assert code == 0
    assert out.startswith("ready  1 gate and 1 failed run wait for a person")
    for part in ("continuous", "scheduled", "clocks/every:1h", "triggered", "sums/webhook:plain"):
        assert part in out
    assert f"#{waiting}  gated" in out
    assert "waits for add-double" in out
    assert f"#{broken}" in out
    assert "breaks: Permanent: it is broken" in out
    assert "\x1b" not in out
    assert [run["id"] for run in told["runs"]["waiting"]] == [waiting]


async def test_on_a_terminal_it_is_kept_true_until_it_is_interrupted(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        ours, theirs = pty.openpty()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
        environment |= {"TIDEMILL_URL": one.client.url, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("tidemill")),
            *("top", "--every", "0.2"),
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        os.close(theirs)
        await asyncio.to_thread(shown, ours, b"none has failed")
        await one.start("broken")
        await asyncio.to_thread(shown, ours, b"it is broken")
        process.send_signal(signal.SIGINT)
        draining = asyncio.get_running_loop().run_in_executor(None, shown, ours, b"\x1b[?1049l")
        async with asyncio.timeout(60):
            assert await process.wait() == 0
            await draining
        os.close(ours)


def shown(terminal: int, wanted: bytes) -> None:
    """Read what a terminal shows until this is there. Raises `OSError` when its program has ended before."""
    seen = b""
    while wanted not in seen:
        seen += os.read(terminal, 4096)
