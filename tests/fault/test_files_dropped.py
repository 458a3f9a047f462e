"""Files dropped as fast as the disk allows, while the daemon that watches for them is killed again and again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.db.writing import rows, until
from tests.fault.daemons import ROOT, daemon_process

COUNT = 20_000
BURSTS = 4
ODD = b"odd-\xff\xfe.csv"
PIPELINE = "tests.fault.listening:every_deep_file"


def drop(root: Path, numbers: range) -> None:
    """Rename files into nested new folders, and every so often a folder with files in it."""
    for number in numbers:
        whole = number % 1_000 < 20
        folder = f"whole-{number // 1_000}/deep" if whole else f"{number % 61}/{number // 500}/{number % 7}"
        place = root / ("staged" if whole else "landing") / folder
        place.mkdir(parents=True, exist_ok=True)
        part = root / f"staged/{number}.part"
        part.write_text(str(number))
        part.rename(place / f"{number}.csv")
        if number % 1_000 == 19:
            (root / f"staged/whole-{number // 1_000}").rename(root / f"landing/whole-{number // 1_000}")


async def events(dsn: str) -> int:
    """How many there are by now."""
    [row] = await rows(dsn, "select count(*) as n from events")
    return int(row["n"])


async def more_than(dsn: str, count: int) -> None:
    """Wait until there are more events than that."""
    await until(dsn, 200, "select count(*) > $1 from events", count)


@pytest.mark.timeout(400)
async def test_twenty_thousand_files_over_three_kills_are_one_event_each(database: str, tmp_path: Path) -> None:
    for folder in ("landing", "staged"):
        (tmp_path / folder).mkdir()
    here = {"TIDEMILL_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT)}
    size = COUNT // BURSTS
    async with asyncio.TaskGroup() as dropping:
        for burst in range(BURSTS):
            async with daemon_process(database, tmp_path, PIPELINE, roles="triggers", **here) as daemon:
                before = await events(database)
                drops = asyncio.to_thread(drop, tmp_path, range(burst * size, (burst + 1) * size))
                dropped = dropping.create_task(drops)
                if burst < BURSTS - 1:
                    await more_than(database, before)
                    daemon.kill()
                    continue
                await dropped
                (tmp_path / "landing" / os.fsdecode(ODD)).write_text("odd")
                await more_than(database, COUNT)
    files = {
        os.fsencode(path.relative_to(tmp_path)) for path in (tmp_path / "landing").rglob("*.csv") if path.is_file()
    }
    assert len(files) == COUNT + 1
    told = Counter(row["subject"] for row in await rows(database, "select subject from events"))
    plain = {name.decode() for name in files if ODD not in name}
    assert told == Counter({**dict.fromkeys(plain, 1), "landing/odd-%FF%FE.csv": 1})
    assert len(await rows(database, "select distinct event_key from runs")) == COUNT + 1
    assert len(await rows(database, "select from runs")) == COUNT + 1


@pytest.mark.timeout(400)
async def test_what_overflows_the_kernels_queue_while_the_daemon_stands_still_is_found_at_once(
    database: str, tmp_path: Path
) -> None:
    """The queue holds 16,384 changes by default; watchfiles says nothing of what is dropped, and no scan is due."""
    (tmp_path / "landing").mkdir()
    here = {"TIDEMILL_ROOT": str(tmp_path), "PYTHONPATH": str(ROOT)}
    async with daemon_process(database, tmp_path, PIPELINE, roles="triggers", **here) as daemon:
        (tmp_path / "landing/first.csv").write_text("first")
        await more_than(database, 0)
        daemon.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(write_all, tmp_path / "landing", COUNT)
        daemon.send_signal(signal.SIGCONT)
        await more_than(database, COUNT)
    assert await events(database) == COUNT + 1


def write_all(folder: Path, count: int) -> None:
    """Write so many files."""
    for number in range(count):
        (folder / f"{number}.csv").write_text(str(number))
