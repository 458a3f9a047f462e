"""Three daemons under load are replaced, one after the other, by the next release, and by the last one again."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from service.db.migrations import migrations
from tests.db.writing import rows, until
from tests.fault.daemons import ROOT, daemon_process
from tests.fault.storm import free_port

PIPELINE = "tests.fault.upgraded:counted"
TELLERS = 6
# What each kind of daemon runs for, under load, before the next one is replaced.
EVENTS_EACH = 60
MORE = """
alter table runs add column more text;
alter table daemons add column release text not null default 'the next';
create table more (id bigint primary key);
"""
INDEX = """-- outside a transaction
drop index concurrently if exists runs_by_more;
create index concurrently runs_by_more on runs (more);
"""


def next_release(folder: Path) -> Path:
    """A copy of this code that knows two migrations more."""
    for package in ("service", "stages", "triggers"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "service/db/migrations/9001_more.sql").write_text(MORE)
    (folder / "service/db/migrations/9002_index.sql").write_text(INDEX)
    (folder / "tests/fault").mkdir(parents=True)
    for name in ("__init__.py", "fault/__init__.py", "fault/upgraded.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    return folder


class Load:
    """Senders of numbered hooks, each told until it is acknowledged. `answers` are their codes, 0: nobody was there."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.answers: Counter[int] = Counter()
        self.acknowledged = 0
        self.over = False

    async def send(self, http: httpx.AsyncClient, first: int) -> None:
        number, tried = first, first
        while not self.over:
            url = f"http://127.0.0.1:{self.ports[tried % len(self.ports)]}/hooks/counted"
            tried += 1
            try:
                answer = await http.post(url, json={"n": number}, headers={"Idempotency-Key": str(number)})
            except httpx.TransportError:
                self.answers[0] += 1
                await asyncio.sleep(0.05)
                continue
            self.answers[answer.status_code] += 1
            if answer.is_success:
                self.acknowledged += 1
                number += TELLERS

    async def more(self, count: int) -> None:
        """Until so many more are acknowledged."""
        wanted = self.acknowledged + count
        async with asyncio.timeout(60):
            while self.acknowledged < wanted:
                await asyncio.sleep(0.02)


class Place:
    """Where one daemon after the other listens."""

    def __init__(self, dsn: str, folder: Path, port: int, stack: AsyncExitStack) -> None:
        self._dsn, self._folder, self._port, self._stack = dsn, folder, port, stack
        self._process: asyncio.subprocess.Process | None = None

    async def take(self, code: Path) -> None:
        """Let a daemon of that code take the place of the one that is there."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(self._process.wait(), 30) == 0
        artifacts = (self._folder / "artifacts").as_uri()
        variables = {"TIDEMILL_HTTP_PORT": str(self._port), "TIDEMILL_ARTIFACTS": artifacts}
        variables["TIDEMILL_EXECUTOR_LEASE_S"] = "5"
        home = self._folder / str(self._port)
        process = daemon_process(self._dsn, home, PIPELINE, roles="api,triggers,executor", code=code, **variables)
        self._process = await self._stack.enter_async_context(process)


@pytest.mark.timeout(300)
async def test_a_release_is_rolled_out_and_back_under_load(database: str, tmp_path: Path) -> None:
    code = next_release(tmp_path / "next")
    newest = migrations()[-1].number
    load = Load([free_port() for _ in range(3)])
    async with AsyncExitStack() as stack:
        places = [Place(database, tmp_path, port, stack) for port in load.ports]
        for place in places:
            await place.take(ROOT)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        async with asyncio.TaskGroup() as tasks:
            for number in range(TELLERS):
                tasks.create_task(load.send(http, number))
            for release in (code, ROOT):
                for place in places:
                    await load.more(EVENTS_EACH)
                    await place.take(release)
            await load.more(EVENTS_EACH)
            load.over = True
        await until(database, 60, "select count(*) = $1 from runs where state = 'succeeded'", load.acknowledged)
    assert load.answers.keys() <= {0, 202}, load.answers
    assert load.acknowledged >= 7 * EVENTS_EACH
    query = "select e.id, count(r.id) as runs from events e left join runs r on r.event_key = e.key group by e.id"
    told = {row["id"]: row["runs"] for row in await rows(database, query)}
    assert set(told.values()) == {1}
    assert len(told) == load.acknowledged
    known = await rows(database, "select knows from daemons group by knows order by knows")
    assert [row["knows"] for row in known] == [newest, 9002]
    assert await rows(database, "select from pg_index where indexrelid = 'runs_by_more'::regclass and indisvalid")
