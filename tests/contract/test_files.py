"""What `Files` promises, over real files: each complete file is one event, whatever way it came."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

import orjson
import pytest

from tests.contract.file_world import World
from triggers.base import Binding, Fate, ListenerState
from triggers.files import Files
from triggers.files.event import path_of

CSV = Files("landing/**/*.csv", stable_s=0.1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "landing").mkdir()
    return World(tmp_path)


async def test_a_file_present_at_start_is_an_event_with_its_path_and_digest(world: World) -> None:
    file = world.write("landing/a.csv", "hello")
    world.write("landing/a.txt")
    async with world.listening(CSV) as inbox:
        assert await world.paths(1) == ["landing/a.csv"]
    [event] = inbox.events.values()
    digest = hashlib.blake2b(b"hello", digest_size=32).hexdigest()
    assert event.id == f"landing/a.csv@{digest}"
    assert event.data["digest"] == digest
    assert event.data["size_bytes"] == 5
    assert path_of(event) == file


async def test_files_that_land_one_after_the_other_do_not_wait_for_the_next_scan(world: World) -> None:
    async with world.listening(CSV):
        for number in range(4):
            world.write(f"landing/{number}.csv")
            await world.paths(number + 1)
    assert world.status().last_seen_at is not None


async def test_folders_made_and_filled_at_once_are_looked_through(world: World) -> None:
    async with world.listening(CSV):
        for number in range(30):
            world.write(f"landing/{number}/b/c/deep.csv")
        assert len(await world.paths(30)) == 30


async def test_a_file_renamed_into_place_is_complete(world: World) -> None:
    async with world.listening(Files("landing/*.csv", complete="rename")) as inbox:
        world.write("landing/a.csv.tmp", "whole").rename(world.root / "landing/a.csv")
        world.write("elsewhere/b.csv", "whole").rename(world.root / "landing/b.csv")
        assert await world.paths(2) == ["landing/a.csv", "landing/b.csv"]
    assert {event.data["size_bytes"] for event in inbox.events.values()} == {5}


async def test_a_folder_renamed_into_place_brings_its_files(world: World) -> None:
    world.write("elsewhere/x/a.csv")
    world.write("elsewhere/b.csv")
    async with world.listening(CSV):
        (world.root / "elsewhere").rename(world.root / "landing/late")
        assert await world.paths(2) == ["landing/late/b.csv", "landing/late/x/a.csv"]


async def test_a_slow_writer_makes_one_event_when_it_is_done(world: World) -> None:
    def write_slowly() -> None:
        with (world.root / "landing/a.csv").open("w") as file:
            for _ in range(12):
                file.write("0123456789")
                file.flush()
                time.sleep(0.1)

    async with world.listening(Files("landing/*.csv", stable_s=0.8)) as inbox:
        await asyncio.to_thread(write_slowly)
        await world.paths(1)
    assert [event.data["size_bytes"] for event in inbox.events.values()] == [120]


async def test_a_restart_reports_nothing_twice_and_what_came_meanwhile_once(world: World) -> None:
    for number in range(20):
        world.write(f"landing/{number}.csv", str(number))
    async with world.listening(CSV) as inbox:
        await world.paths(20)
    world.write("landing/new.csv")
    async with world.listening(CSV):
        await world.paths(21)
    assert len(inbox.told) == len(set(inbox.told)) == 21


async def test_a_file_replaced_with_size_and_mtime_put_back_is_noticed(world: World) -> None:
    file = world.write("landing/a.csv", "old")
    before = file.stat()
    async with world.listening(CSV) as inbox:
        await world.paths(1)
        file.write_text("new")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        await inbox.until(lambda: len(inbox.runs) == 2)


async def test_the_same_content_under_the_same_path_is_the_same_event(world: World) -> None:
    file = world.write("landing/a.csv", "same")
    async with world.listening(CSV) as inbox:
        await world.paths(1)
        file.unlink()
        world.write("landing/a.csv", "same")
        await inbox.until(lambda: len(inbox.told) == 2)
        assert len(inbox.runs) == 1


async def test_a_name_that_is_not_utf8_is_reported_and_the_watch_goes_on(world: World) -> None:
    async with world.listening(CSV) as inbox:
        raw = world.write(b"landing/\xff\xfe.csv", "odd")
        await world.paths(1)
        world.write("landing/after.csv")
        await world.paths(2)
    odd, _ = inbox.events.values()
    assert odd.subject == "landing/%FF%FE.csv"
    assert path_of(odd) == raw
    assert path_of(odd).read_text() == "odd"


async def test_symbolic_links_are_not_followed_and_the_status_says_so(world: World) -> None:
    outside = world.root.parent / f"{world.root.name}-outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("secret")
    (world.root / "landing/folder").symlink_to(outside)
    (world.root / "landing/file.csv").symlink_to(outside / "secret.csv")
    (world.root / "landing/circle").symlink_to("circle")
    world.write("landing/plain.csv")
    for follow in (False, True):
        async with world.listening(Files("landing/**/*.csv", stable_s=0, follow_symlinks=follow)):
            assert await world.paths(1) == ["landing/plain.csv"]
            await world.told("symbolic link")


async def test_links_that_stay_inside_are_followed_where_asked_even_in_circles(world: World) -> None:
    world.write("data/a.csv")
    (world.root / "landing/linked").symlink_to(world.root / "data")
    (world.root / "data/back").symlink_to(world.root / "landing")
    (world.root / "landing/b.csv").symlink_to(world.root / "data/a.csv")
    async with world.listening(Files("landing/**/*.csv", stable_s=0, rescan_s=0.1, follow_symlinks=True)):
        assert await world.paths(3) == ["landing/b.csv", "landing/linked/a.csv", "landing/linked/back/b.csv"]
        world.write("data/later.csv")
        assert "landing/linked/later.csv" in await world.paths(4)


async def test_what_is_not_a_regular_file_is_left_alone(world: World) -> None:
    os.mkfifo(world.root / "landing/pipe.csv")
    (world.root / "landing/folder.csv").mkdir()
    world.write("landing/plain.csv")
    async with world.listening(CSV):
        assert await world.paths(1) == ["landing/plain.csv"]


async def test_files_wait_for_their_marker(world: World) -> None:
    world.write("landing/one/a.csv")
    world.write("landing/two/b.csv")
    world.write("landing/two/_SUCCESS")
    async with world.listening(Files("landing/**/*.csv", complete="marker", stable_s=0.1)):
        assert await world.paths(1) == ["landing/two/b.csv"]
        world.write("landing/one/_SUCCESS")
        assert await world.paths(2) == ["landing/one/a.csv", "landing/two/b.csv"]
        world.write("landing/one/late.csv")
        assert "landing/one/late.csv" in await world.paths(3)


async def test_what_waits_to_be_complete_is_told_and_counted(world: World) -> None:
    world.write("landing/one/a.csv")
    world.write("landing/one/b.csv")
    marked = Files("landing/*/*.csv", complete="marker", stable_s=0.1, rescan_s=0.2)
    whole = Files("landing/dt=*/", complete="marker", name="whole", stable_s=0.1, rescan_s=0.2)
    described = Files("in/*.csv", complete="manifest", stable_s=0.1, rescan_s=0.2)
    world.write("landing/dt=1/part")
    world.write("in/c.csv", "too long")
    world.write("in/manifest.json", '{"files": [{"name": "c.csv", "size_bytes": 1}]}')
    async with world.listening(marked, whole, described):
        await told(world, [2, 1, 1])
        notes = [one.note for one in world.listener.statuses()]
        assert notes == [
            "landing/one/a.csv is not complete: _SUCCESS is missing, or does not describe it (and 1 more)",
            "landing/dt=1 is not complete: _SUCCESS is missing, or does not describe it",
            "in/c.csv is not complete: manifest.json is missing, or does not describe it",
        ]
        world.write("landing/one/_SUCCESS")
        (world.root / "landing/dt=1/part").unlink()
        (world.root / "landing/dt=1").rmdir()
        world.write("in/c.csv", "1")
        await told(world, [0, 0, 0])
        assert [one.note for one in world.listener.statuses()] == ["", "", ""]


async def told(world: World, lags: list[int]) -> None:
    async with asyncio.timeout(20):
        while [one.lag_records for one in world.listener.statuses()] != lags:
            await asyncio.sleep(0.02)


async def test_links_in_the_folder_of_one_trigger_are_no_trouble_of_another(world: World) -> None:
    outside = world.root.parent / f"{world.root.name}-outside"
    outside.mkdir()
    (world.root / "landing/folder").symlink_to(outside)
    (world.root / "landing/file.csv").symlink_to(outside / "secret.csv")
    (world.root / "other").mkdir()
    linked, plain = Files("landing/**/*.csv", stable_s=0), Files("other/**/*.csv", stable_s=0)
    async with world.listening(linked, plain):
        await told(world, [0, 0])
        async with asyncio.timeout(20):
            while world.listener.statuses()[0].state is not ListenerState.LISTENING:
                await asyncio.sleep(0.02)
        mine, others = world.listener.statuses()
        assert "there are symbolic links to folders: scanning every 5 s" in mine.note
        assert "landing/file.csv" in mine.note
        assert others.note == ""
        assert list(world.listener._to_watch()) == [str(world.root / "other")]
        world.write("other/a.csv")
        assert await world.paths(1) == ["other/a.csv"]


async def test_each_file_may_wait_for_a_marker_of_its_own(world: World) -> None:
    world.write("landing/a.csv")
    async with world.listening(Files("landing/*", complete="marker", marker="{name}.done")):
        world.write("landing/b.csv")
        world.write("landing/b.csv.done")
        assert await world.paths(1) == ["landing/b.csv"]
        world.write("landing/a.csv.done")
        assert await world.paths(2) == ["landing/a.csv", "landing/b.csv"]


async def test_files_wait_until_they_are_what_their_manifest_says(world: World) -> None:
    def promise(content: bytes) -> dict[str, object]:
        return {"name": "a.csv", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    world.write("landing/manifest.json", '{"files": ')
    world.write("landing/a.csv", "wrong")
    world.write("landing/unlisted.csv")
    async with world.listening(Files("landing/*", complete="manifest")) as inbox:
        await world.told("manifest.json: it is not a manifest")
        world.write("landing/manifest.json", orjson.dumps({"files": [promise(b"right")]}).decode())
        await world.told("a.csv: its sha256 is")
        world.write("landing/a.csv", "right")
        assert await world.paths(1) == ["landing/a.csv"]
    assert len(inbox.told) == 1


async def test_a_partition_is_one_event_once_its_marker_lies_in_it(world: World) -> None:
    world.write("landing/dt=1/a.parquet", "aa")
    world.write("landing/dt=1/deep/b.parquet", "b")
    world.write("landing/dt=1/_temporary/c.parquet", "c")
    world.write("landing/dt=2/a.parquet", "aa")
    world.write("landing/other/_SUCCESS")
    async with world.listening(Files("landing/dt=*/", complete="marker", stable_s=0.1)) as inbox:
        world.write("landing/dt=1/_SUCCESS", "")
        assert await world.paths(1) == ["landing/dt=1/"]
        world.write("landing/dt=2/_SUCCESS", "")
        assert await world.paths(2) == ["landing/dt=1/", "landing/dt=2/"]
        world.write("landing/dt=1/late.parquet", "late")
        await inbox.until(lambda: len(inbox.runs) == 3)
    first, *_, changed = [event for event in inbox.events.values() if event.subject == "landing/dt=1/"]
    assert (first.data["files"], first.data["size_bytes"]) == (2, 3)
    assert (changed.data["files"], changed.data["size_bytes"]) == (3, 7)
    assert path_of(first) == world.root / "landing/dt=1"
    async with world.listening(Files("landing/dt=*/", complete="marker", stable_s=0.1)):
        world.write("landing/dt=3/_SUCCESS", "")
        await world.paths(4)
    assert len(inbox.told) == len(set(inbox.told)) == 4


async def test_a_partition_that_only_moved_has_the_same_content_digest(world: World) -> None:
    async with world.listening(Files("landing/*/", complete="rename")) as inbox:
        for name in ("x", "y"):
            world.write(f"made/{name}/a.parquet", "aa")
            (world.root / "made" / name).rename(world.root / "landing" / name)
        await world.paths(2)
    assert len({event.data["digest"] for event in inbox.events.values()}) == 1


async def test_all_pipelines_get_a_file_from_one_arrival(world: World) -> None:
    async with world.listening(
        Binding("p", CSV),
        Binding("q", Files("landing/*.csv", stable_s=0.1, params={"file": "data.relative_path"})),
        Binding("r", Files("landing/*.csv", stable_s=0.1, where={"subject": {"suffix": "b.csv"}})),
        Binding("s", Files("elsewhere/*.csv", stable_s=0.1)),
    ) as inbox:
        world.write("landing/a.csv")
        await world.paths(1)
    [told] = inbox.told
    assert inbox.fates == {(told, "p"): Fate.RAN, (told, "q"): Fate.RAN, (told, "r"): Fate.IGNORED}


async def test_pipelines_that_disagree_on_completeness_each_run_when_they_are_content(world: World) -> None:
    marked = Files("landing/*.csv", complete="marker")
    async with world.listening(Binding("p", CSV), Binding("q", marked)) as inbox:
        world.write("landing/a.csv")
        await world.paths(1)
        assert inbox.paths("q") == []
        world.write("landing/_SUCCESS")
        await world.paths(1, "q")
    assert len(inbox.events) == 1


async def test_without_digests_path_size_and_mtime_are_the_identity(world: World) -> None:
    file = world.write("landing/a.csv", "abc")
    os.utime(file, ns=(0, 1_000_000_000))
    async with world.listening(Files("landing/*.csv", digest=False, stable_s=0)) as inbox:
        await world.paths(1)
        assert list(inbox.events) == ["landing/a.csv@3-1000000000"]
    async with world.listening(Files("landing/*.csv", stable_s=0)):
        world.write("landing/new.csv")
        await world.paths(2)
    assert len(inbox.events) == 2, "switching digests on made an old file new"


async def test_polling_finds_files_without_a_watch(world: World) -> None:
    async with world.listening(Files("landing/**/*.csv", stable_s=0, poll=True, rescan_s=0.05)):
        world.write("landing/x/a.csv")
        assert await world.paths(1) == ["landing/x/a.csv"]


async def test_a_pattern_may_lie_outside_the_root(world: World) -> None:
    outside = World(world.root.parent / f"{world.root.name}-share")
    file = outside.write("in/a.csv")
    async with world.listening(Files(f"{outside.root}/in/*.csv", stable_s=0)) as inbox:
        assert await world.paths(1) == [str(file)]
    assert path_of(next(iter(inbox.events.values()))) == file
