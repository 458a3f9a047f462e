"""Files under trouble: nothing missed, nothing doubled, and the status says what is wrong."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tests.contract.file_world import World
from triggers.base import ListenerState
from triggers.files import Files, digest
from triggers.files.digest import FileChanged, digest_file, identify
from triggers.files.event import path_of
from triggers.files.policy import Verdict
from triggers.files.stamp import Found, file_stamp

CSV = Files("landing/**/*.csv", stable_s=0.1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "landing").mkdir()
    return World(tmp_path)


async def test_a_folder_that_comes_goes_and_comes_back_is_followed(world: World) -> None:
    shutil.rmtree(world.root / "landing")
    async with world.listening(CSV) as inbox:
        await world.told("folder landing/ does not exist yet: create it, watching for it", ListenerState.RETRYING)
        world.write("landing/a.csv", "1")
        await world.paths(1)
        shutil.rmtree(world.root / "landing")
        await world.told("does not exist yet")
        world.write("landing/a.csv", "2")
        await inbox.until(lambda: len(inbox.runs) == 2)
        (world.root / "landing").rename(world.root / "old")
        world.write("landing/a.csv", "3")
        await inbox.until(lambda: len(inbox.runs) == 3)
        await world.told("", ListenerState.LISTENING)


async def test_files_wait_while_the_inbox_is_busy_and_count_as_seen_only_after(world: World) -> None:
    world.inbox.busy = True
    async with world.listening(CSV) as inbox:
        world.write("landing/a.csv")
        await inbox.until(lambda: inbox.turned_away > 2)
        assert world.status().lag_records == 1
        assert inbox.scopes == {}
    async with world.listening(CSV):
        await inbox.until(lambda: inbox.turned_away > 5)
        inbox.busy = False
        await world.paths(1)
    assert len(inbox.told) == 1


async def test_a_tree_too_deep_to_read_is_told_of_and_the_rest_is_served(world: World) -> None:
    name = "d" * 250
    folder = os.open(world.root / "landing", os.O_RDONLY)
    for _ in range(20):
        os.mkdir(name, dir_fd=folder)
        deeper = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = deeper
    os.close(folder)
    world.write("landing/a.csv")
    async with world.listening(CSV):
        assert await world.paths(1) == ["landing/a.csv"]
        await world.told("File name too long", ListenerState.LISTENING)


@pytest.mark.parametrize("trigger", [Files("landing/**/*.csv", complete="rename"), Files("landing/dt=*/", stable_s=0)])
async def test_a_tree_of_very_many_levels_is_walked_to_its_end(world: World, trigger: Files) -> None:
    """More than the interpreter lets functions call each other; as a path it is short enough."""

    def deepen() -> None:
        (world.root / "landing/dt=1").mkdir()
        here = os.open(world.root / "landing/dt=1", os.O_RDONLY)
        for _ in range(1_500):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(os.open("deep.csv", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)

    deepen()
    try:
        async with world.listening(trigger):
            [path] = await world.paths(1)
            assert path.startswith("landing/dt=1/")
            assert (path.count("/d") > 1_500) is (trigger.pattern != "landing/dt=*/")
            world.write("landing/dt=1/d/d/other.csv")
            await world.inbox.until(lambda: len(world.inbox.runs) == 2)
            assert world.status().state is ListenerState.LISTENING
    finally:
        # What tidies up after tests calls itself for each level.
        await asyncio.to_thread(subprocess.run, ["rm", "-rf", world.root / "landing"], check=True)


def found(file: Path) -> Found:
    status = file.stat()
    return Found(str(file), file.name, file_stamp(status), status.st_size, status.st_mtime_ns, (0,), Verdict.READY)


def test_a_file_that_changed_since_the_scan_is_not_complete(world: World) -> None:
    file = world.write("landing/a.csv", "half")
    seen = found(file)
    file.write_text("whole")
    with pytest.raises(FileChanged):
        identify(seen, CSV.policy, threading.Event())


def test_a_file_that_changes_while_it_is_read_is_not_complete(world: World) -> None:
    file = world.write("landing/a.csv", "half")
    seen = found(file)

    class Appending(threading.Event):
        """Asked after each block whether to stop; the file grows meanwhile."""

        def is_set(self) -> bool:
            with file.open("a") as more:
                more.write("more")
            return False

    with pytest.raises(FileChanged):
        identify(seen, CSV.policy, Appending())


@pytest.mark.timeout(5)
def test_a_pipe_or_link_put_in_a_files_place_neither_blocks_nor_is_read(world: World) -> None:
    file = world.write("landing/a.csv")
    stamp = file_stamp(file.stat())
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(FileChanged):
        digest_file(str(file), stamp, None, follow=False, stop=threading.Event())
    file.unlink()
    file.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        digest_file(str(file), stamp, None, follow=False, stop=threading.Event())


async def test_what_lies_in_the_place_of_a_manifest_neither_blocks_nor_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pipe would hold a scan for ever, a link bring in what is elsewhere, a long one take all memory."""
    monkeypatch.setattr(digest, "LONGEST_MANIFEST", 100)
    outside = world.root.parent / f"{world.root.name}-manifest.json"
    outside.write_text('{"files": [{"name": "a.csv"}]}')
    for name in ("pipe", "link", "folder", "long", "good"):
        world.write(f"landing/{name}/a.csv")
    os.mkfifo(world.root / "landing/pipe/manifest.json")
    (world.root / "landing/link/manifest.json").symlink_to(outside)
    (world.root / "landing/folder/manifest.json").mkdir()
    world.write("landing/long/manifest.json", '{"files": [{"name": "a.csv"}]}' + " " * 100)
    world.write("landing/good/manifest.json", '{"files": [{"name": "a.csv"}]}')
    before = len(os.listdir("/proc/self/fd"))
    for follow in (False, True):
        files = Files("landing/**/*.csv", complete="manifest", rescan_s=0.1, follow_symlinks=follow)
        async with world.listening(files):
            assert await world.paths(1) == ["landing/good/a.csv"]
            await world.told("(and 3 more)", ListenerState.LISTENING)
        assert world.inbox.paths() == ["landing/good/a.csv"]
    for why, times in {"it is no file": 4, "longer than 100 bytes": 2, "symbolic link": 2}.items():
        assert caplog.text.count(why) == times, caplog.text
    assert len(os.listdir("/proc/self/fd")) < before + 10


async def test_files_that_come_and_go_stop_nothing(world: World) -> None:
    def churn() -> None:
        for number in range(300):
            file = world.write(f"landing/{number % 7}/{number}.csv", str(number))
            file.unlink()

    async with world.listening(Files("landing/**/*.csv", complete="rename")):
        await asyncio.to_thread(churn)
        world.write("landing/stays.csv")
        await world.inbox.until(lambda: "landing/stays.csv" in world.inbox.paths())
        assert world.status().state is ListenerState.LISTENING


async def test_a_burst_over_nested_new_folders_and_three_restarts_is_each_file_once(world: World) -> None:
    count = 5_000
    (world.root / "staged").mkdir()

    def drop(numbers: range) -> None:
        for number in numbers:
            folder = f"landing/{number % 40}/{number // 500}/{number % 3}"
            file = world.write(f"staged/{number}.csv", str(number))
            (world.root / folder).mkdir(parents=True, exist_ok=True)
            file.rename(world.root / folder / file.name)
        world.write(b"landing/odd/\xff.csv")

    trigger = Files("landing/**/*.csv", complete="rename")
    quarter = count // 4
    for turn in range(4):
        async with world.listening(trigger) as inbox:
            dropping = asyncio.to_thread(drop, range(turn * quarter, (turn + 1) * quarter))
            if turn < 3:
                async with asyncio.TaskGroup() as group:
                    group.create_task(dropping)
                    group.create_task(inbox.until(lambda turn=turn: len(inbox.runs) > turn * quarter + 100))
            else:
                await dropping
                await world.paths(count + 1)
    assert len(inbox.runs) == len(inbox.events) == count + 1
    assert inbox.largest_batch <= 500


async def test_files_long_gone_are_forgotten_also_where_it_is_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triggers.files.feed.GONE_S", 0.2)
    trigger = Files("landing/**/*.csv", complete="rename", poll=True, rescan_s=0.1)
    for number in range(1_200):
        world.write(f"landing/{number % 10}/{number}.csv", str(number))
    async with world.listening(trigger) as inbox:
        await world.paths(1_200)
        [kept] = inbox.scopes.values()
        shutil.rmtree(world.root / "landing")
        await world.told("does not exist yet")
        assert len(kept) == 1_200, "a folder that is away takes nothing with it"
        stays = world.write("landing/stays.csv", "stays")
        await inbox.until(lambda: list(kept) == ["landing/stays.csv"])
        world.write("landing/3/3.csv", "3")
        await inbox.until(lambda: "landing/3/3.csv" in kept)
        assert stays.exists()
    assert len(inbox.runs) == len(inbox.events) == 1_201


ODD = (
    b"new\nline.csv",
    b" spaces around .csv",
    b"tab\there.csv",
    b"percent%20%00.csv",
    b"colon: @ # ? ;.csv",
    "accents-\u00e9-e\u0301.csv".encode(),
    b"half-\xed\xa0\x80-surrogate.csv",
    b"latin-\xe9.csv",
    b"\xff" * 251 + b".csv",
    b"x" * 251 + b".csv",
    b"back\\slash.csv",
    b"-rf.csv",
    b"'quoted' \"twice\".csv",
    b"\x01\x7f\x1b[31m.csv",
)


async def test_every_name_a_file_may_have_is_one_event_that_leads_to_it(world: World) -> None:
    for at, name in enumerate(ODD):
        world.write(b"landing/" + name, str(at))
    for _ in range(2):
        async with world.listening(CSV) as inbox:
            await world.paths(len(ODD))
            world.write("landing/last.csv")
            await inbox.until(lambda: "landing/last.csv" in inbox.paths())
        (world.root / "landing/last.csv").unlink()
    found = {
        os.fsencode(path_of(event).name): path_of(event).read_text()
        for event in inbox.events.values()
        if event.subject != "landing/last.csv"
    }
    assert found == {name: str(at) for at, name in enumerate(ODD)}
    assert len({event.key for event in inbox.events.values()}) == len(ODD) + 1


async def test_a_file_that_was_only_touched_is_not_new_and_one_written_in_place_is(world: World) -> None:
    file = world.write("landing/a.csv", "same")
    async with world.listening(CSV) as inbox:
        await world.paths(1)
        os.utime(file, ns=(0, 1_000_000_000))
        await inbox.until(lambda: len(inbox.told) == 2)
        with file.open("r+") as opened:
            opened.write("SAME")
        await inbox.until(lambda: len(inbox.runs) == 2)
    assert len(set(inbox.told)) == 2
