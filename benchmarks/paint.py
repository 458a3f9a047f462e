"""(p) How soon a page of the console is painted by a browser that is new to it, beside a page that says nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from playwright.async_api import Browser, Page

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import daemon_process
from benchmarks.ground import ground
from benchmarks.measuring import latencies, percentiles
from benchmarks.peers.ports import free_port
from benchmarks.tables import Goal, Table
from service.console.look import HEADERS
from service.console.pages import PAGES

FIRST = "a page of the console, new"
AGAIN = "the same once more"
BARE = "a bare page, new"
BODY = b"<!doctype html><title>bare</title><p>bare"
OPENER = "Cross-Origin-Opener-Policy"
ENDED = "select count(*) from runs where state = 'succeeded'"
PAINTED = """() => new Promise((done) => {
  const told = (entries) => entries.length && done(entries[0].startTime / 1000);
  const name = "first-contentful-paint";
  new PerformanceObserver((list) => told(list.getEntriesByName(name))).observe({ type: "paint", buffered: true });
})"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: each page so many times, with so many runs behind it."""

    rounds: int = 20
    runs: int = 50


@dataclass(slots=True)
class _Measuring:
    browser: Browser
    times_s: dict[str, list[float]] = field(default_factory=lambda: {BARE: [], FIRST: [], AGAIN: []})

    async def visit(self, address: str, first: str, again: str = "") -> None:
        """In a browser's context of its own, which knows nothing and has no process yet."""
        context = await self.browser.new_context()
        page = await context.new_page()
        self.times_s[first].append(await _painted_s(page, address))
        if again:
            self.times_s[again].append(await _painted_s(page, address))
        await context.close()


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    from tests.browser.walking import browsing

    async with ground() as here, _bare() as bare, browsing() as browser:
        port = free_port()
        variables = {"TIDEMILL_DATABASE_URL": here.dsn, "TIDEMILL_PIPELINES": "benchmarks.six:six"}
        async with daemon_process(here.folder / "daemon", TIDEMILL_HTTP_PORT=str(port), **variables) as process:
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base) as http:
                for _ in range(size.runs):
                    (await http.post("/api/v1/pipelines/six/runs", json={})).raise_for_status()
            await here.reaches(ENDED, size.runs)
            paths = [*(path for path, _ in PAGES if "{" not in path), "/runs/1", "/runs/1/logs", "/pipelines/six"]
            await _all(_Measuring(browser), base, bare, paths, 1)
            measuring = _Measuring(browser)
            await _all(measuring, base, bare, paths, size.rounds)
            process.terminate()
            await process.wait()
    return [_table(measuring, paths)]


async def _all(measuring: _Measuring, base: str, bare: str, paths: Sequence[str], rounds: int) -> None:
    for _ in range(rounds):
        for path in paths:
            await measuring.visit(base + path, FIRST, AGAIN)
            await measuring.visit(bare, BARE)


def _table(measuring: _Measuring, paths: Sequence[str]) -> Table:
    rows: list[dict[str, Any]] = [percentiles(name, times_s) for name, times_s in measuring.times_s.items()]
    for row in rows:
        row["ratio"] = row["p50_ms"] / rows[0]["p50_ms"]
    note = "From the beginning of the navigation to the first contentful paint, in Chromium. New: a context of its own."
    return latencies(f"{len(paths)} pages of the console", rows, note)


async def _painted_s(page: Page, address: str) -> float:
    await page.goto(address, wait_until="commit")
    painted_s: float = await page.evaluate(PAINTED)
    return painted_s


@asynccontextmanager
async def _bare() -> AsyncIterator[str]:
    """The address of a page with a word in it, which as ours shares no process with who opened it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{OPENER}: {HEADERS[OPENER]}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


BENCHMARK = Benchmark(
    order="p",
    says="How soon a page of the console is painted by a browser that is new to it, beside a page that says nothing.",
    full=Size(),
    quick=Size(rounds=1, runs=2),
    measure=run,
    goals=[
        Goal("first paint of a page of the console, p50", FIRST, "p50_ms", most=100, aim=50, unit=" ms"),
    ],
)
