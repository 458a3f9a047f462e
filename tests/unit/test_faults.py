"""What happens at a fault point, and that nothing does where nobody armed it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from triggers import faults

REACH = "import asyncio; from triggers import faults; asyncio.run(faults.reach('a.point')); print('went on')"


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.arm("")


def reaching(plan: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TIDEMILL_FAULTS": plan}
    return subprocess.Popen([sys.executable, "-c", REACH], env=environment, stdout=subprocess.PIPE, text=True)


async def test_a_point_fails_the_time_it_is_told_to() -> None:
    faults.arm("a.point=fail@2,another=fail")
    await faults.reach("a.point")
    with pytest.raises(OSError, match=r"fault injected at a\.point"):
        await faults.reach("a.point")
    await faults.reach("a.point")
    for _ in range(2):
        with pytest.raises(OSError, match="another"):
            await faults.reach("another")


async def test_a_point_waits_as_long_as_it_is_told_to_and_others_go_on() -> None:
    faults.arm("a.point=delay:3600@1")
    waiting = asyncio.wait_for(faults.reach("a.point"), 0.01)
    with pytest.raises(TimeoutError):
        await waiting
    await faults.reach("another")
    await faults.reach("a.point")


def test_a_process_that_crashes_at_a_point_does_nothing_more() -> None:
    with reaching("a.point=crash") as process:
        assert process.communicate()[0] == ""
    assert process.returncode == 137


def test_a_process_that_stops_at_a_point_goes_on_when_it_may() -> None:
    with reaching("a.point=stop") as process:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0] == "went on\n"


def test_a_thread_can_be_told_the_same(tmp_path: Path) -> None:
    faults.arm(f"a=fail@2,b=delay:0.01,*=note:{tmp_path / 'noted'}")
    faults.reach_in_thread("a")
    with pytest.raises(OSError, match="fault injected at a"):
        faults.reach_in_thread("a")
    began = time.monotonic()
    faults.reach_in_thread("b")
    assert time.monotonic() - began >= 0.01
    assert (tmp_path / "noted").read_text() == "a\nb\n"
    faults.arm("")
    faults.reach_in_thread("a")


async def test_what_is_reached_is_noted_once(tmp_path: Path) -> None:
    faults.arm(f"*=note:{tmp_path / 'noted'},b=delay:0")
    for point in ("a", "b", "a"):
        await faults.reach(point)
    assert (tmp_path / "noted").read_text() == "a\nb\n"


async def test_nothing_happens_where_nothing_is_planned() -> None:
    faults.arm("")
    assert not faults.armed()
    await faults.reach("a.point")


@pytest.mark.parametrize(
    "plan", ["a", "a=", "a=explode", "a=crash@x", "a=delay", "a=delay:long", "a=crash:1", "a=note:f", "*=note"]
)
def test_a_plan_that_cannot_be_read_says_how_one_is_written(plan: str) -> None:
    with pytest.raises(ValueError, match="write POINT=crash"):
        faults.arm(plan)
