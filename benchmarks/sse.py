"""(o) A thousand pages open on one daemon: how soon each hears what was written, and what the listening costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
from playwright.async_api import Page

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import cpu_s, daemon_process, memory_mb
from benchmarks.ground import ground
from benchmarks.measuring import percentiles
from benchmarks.peers.ports import free_port
from benchmarks.sse_clients import heard, listening
from benchmarks.tables import Column, Goal, Table

COLUMNS = [
    Column("p50_ms", "heard p50 ms", ",.1f"),
    Column("p99_ms", "heard p99 ms", ",.1f"),
    Column("pixel_p50_ms", "seen p50 ms", ",.0f"),
    Column("pixel_p99_ms", "seen p99 ms", ",.0f"),
    Column("heard_us", "CPU us a client and entry", ",.1f"),
    Column("memory_mb", "MB", ",.0f"),
    Column("connections", "connections"),
]
CONNECTIONS = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
# Notes, in a page, when the text of each run was on the screen: after the frame in which it came.
WATCH = """() => {
  window.seen = {};
  const look = () => {
    for (const [, run] of document.getElementById("now").textContent.matchAll(/six #(\\d+)/g))
      if (!(run in window.seen))
        requestAnimationFrame(() => setTimeout(() => (window.seen[run] ??= Date.now() / 1000)));
    if (window.last in window.seen) window.done();
  };
  setInterval(look, 50);
  const all = { subtree: true, childList: true, characterData: true };
  new MutationObserver(look).observe(document.getElementById("now"), all);
}"""

SEEN = "last => new Promise((done) => { window.last = last; window.done = () => done(window.seen); })"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: runs of six stages, so many a second."""

    clients: int = 1_000
    runs: int = 100
    per_s: float = 4.0


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    rows = []
    async with ground() as here:
        port = free_port()
        variables = {"TIDEMILL_DATABASE_URL": here.dsn, "TIDEMILL_PIPELINES": "benchmarks.six:six"}
        async with daemon_process(here.folder / "daemon", TIDEMILL_HTTP_PORT=str(port), **variables) as process:
            one = _Measuring(port, process.pid, here.watcher, size)
            await one.row("warming up", 1)
            alone = await one.row("nobody else", 1)
            rows = [alone, await one.row("all", size.clients, alone["cpu_s"])]
            process.terminate()
            await process.wait()
    note = "Seen: from before a run is asked for until a page that shows what runs has it on its screen, in Chromium."
    return [Table(f"{size.clients} clients, {size.per_s:g} runs a second", COLUMNS, rows, [note])]


@dataclass(frozen=True, slots=True)
class _Measuring:
    port: int
    daemon: int
    database: asyncpg.Connection
    size: Size

    async def row(self, name: str, clients: int, alone_s: float = 0.0) -> dict[str, Any]:
        """What comes to so many clients, and to one page."""
        async with listening(self.port, clients) as process, _page(f"http://127.0.0.1:{self.port}/") as page:
            before_s = cpu_s([self.daemon])
            asked = await self._runs()
            seen = await page.evaluate(SEEN, max(asked))
            told = await heard(process)
            used_s = cpu_s([self.daemon]) - before_s
            row = told | {"name": name}
            pixels = percentiles("", [seen[str(run)] - at for run, at in asked.items() if str(run) in seen])
            row |= {f"pixel_{key}": value for key, value in pixels.items() if key.endswith("_ms")}
            row |= {"memory_mb": memory_mb(self.daemon), "cpu_s": used_s, "entries": told["times"]}
            row["connections"] = await self.database.fetchval(CONNECTIONS)
        if clients > 1:
            row["heard_us"] = max(used_s - alone_s, 0.0) / row["entries"] * 1e6
        return row

    async def _runs(self) -> dict[int, float]:
        """Start runs, evenly; when each was asked for."""
        asked: dict[int, float] = {}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as http:
            begun = time.perf_counter()
            for number in range(self.size.runs):
                await asyncio.sleep(max(begun + number / self.size.per_s - time.perf_counter(), 0))
                at = time.time()
                answer = await http.post("/api/v1/pipelines/six/runs", json={})
                asked[answer.raise_for_status().json()["events"][0]["runs"][0]] = at
        return asked


@asynccontextmanager
async def _page(address: str) -> AsyncIterator[Page]:
    from tests.browser.walking import browsing

    async with browsing() as browser:
        page = await browser.new_page()
        await page.goto(address)
        await page.locator("#stream.on").wait_for()
        await page.evaluate(WATCH)
        yield page


BENCHMARK = Benchmark(
    order="o",
    says="A thousand pages open on one daemon: how soon each hears what was written, and what the listening costs.",
    full=Size(),
    quick=Size(clients=3, runs=2, per_s=2),
    measure=run,
    goals=[
        Goal("an entry heard, p99 with all", "all", "p99_ms", most=200, aim=100, unit=" ms"),
        Goal("an event seen, p99 with all", "all", "pixel_p99_ms", most=200, aim=100, unit=" ms"),
    ],
)
