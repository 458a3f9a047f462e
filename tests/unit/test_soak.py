"""The soak's judgement of a memory curve."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from tests.fault.flatness import MOST_GROWTH, growth, judged
from tests.fault.posts import Posts
from tests.fault.soak import Watch, cpu_s, request, resident, waited_s

DICE = random.Random(7)


def noise(size: float) -> list[float]:
    return [size * DICE.uniform(-1, 1) for _ in range(120)]


@pytest.mark.parametrize(("per_sample", "flat"), [(0.0, True), (0.05, True), (0.3, False), (2.0, False)])
def test_a_leak_is_told_from_noise(per_sample: float, flat: bool) -> None:
    curve = [200 + per_sample * at + one for at, one in enumerate(noise(20.0))]
    assert (growth(curve) <= MOST_GROWTH) is flat


def test_a_warm_up_and_a_peak_are_no_leak() -> None:
    curve = [min(300.0, 100 + 10 * at) for at in range(120)]
    curve[70] = 2_000.0
    assert growth(curve) == 0


def leaking(bytes_per_run: float, per_s: float, minutes: float) -> tuple[list[float], list[int]]:
    """80 MB, with peaks of up to 10 more, seen every two seconds."""
    runs = [int(2 * at * per_s) for at in range(int(minutes * 30))]
    return [80e6 + 10e6 * DICE.random() + bytes_per_run * count for count in runs], runs


@pytest.mark.parametrize(("bytes_per_run", "flat"), [(0, True), (50, True), (400, False), (2_000, False)])
def test_what_each_run_leaves_behind_is_told(bytes_per_run: float, flat: bool) -> None:
    judgement = judged(*leaking(bytes_per_run, 100, 10))
    assert judgement.flat is flat
    assert abs(judgement.per_run - bytes_per_run) < 100
    assert ("NOT FLAT" in str(judgement)) is not flat


def test_what_is_too_short_to_show_a_leak_is_not_called_flat() -> None:
    judgement = judged(*leaking(0, 20, 3))
    assert not judgement.flat
    assert "TOO FEW RUNS TO TELL" in str(judgement)


async def test_posts_are_answered_counted_and_left_out() -> None:
    """Of four answers one is a refusal after which the server hangs up, and one hangs up without an answer."""
    got: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            got.append(int(line))
            if len(got) % 4 == 3:
                break
            refused = len(got) % 4 == 2
            status, more = ("503 Busy", "Connection: close\r\n") if refused else ("202 Accepted", "")
            writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: 2\r\n\r\nok".encode())
            if refused:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        posts = Posts(server.sockets[0].getsockname()[1], lambda number: b"%d\n" % number)
        await posts.post(1_000, time.monotonic() + 0.5, 2)
    assert sorted(got) == list(range(1, len(got) + 1))
    assert sum(posts.answers.values()) == posts.sent == len(got)
    assert set(posts.answers) == {202, 503, 0}
    assert abs(posts.answers[202] - len(got) / 2) <= 2
    assert len(posts.took_s) == posts.sent


def test_what_this_process_used_is_read() -> None:
    began = cpu_s(os.getpid()), time.process_time()
    while time.process_time() - began[1] < 0.1:
        pass
    assert cpu_s(os.getpid()) - began[0] >= 0.05
    assert waited_s(os.getpid()) >= 0
    assert resident(os.getpid()) > 1e6
    watch = Watch(os.getpid(), Path(), "", Posts(0, request))
    spent = watch._spent()
    assert spent.daemon_s > 0
    assert spent.sender_s > 0
    assert request(100).endswith(b'y"}')
    assert request(1).endswith(b'\r\n\r\n{"n":1}')
