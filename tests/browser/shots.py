"""Pictures of every page to be looked at, and how long each took: `python -m tests.browser.shots FOLDER`.

Light and dark, on a desk, a tablet and phones, each as it is and with all open that can be opened, where nothing has
happened (`none`), a little (`little`), and, with `--runs`, with so many runs behind (`many`). `times.txt` tells of each
page the milliseconds to its first byte and first paint.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

from playwright.async_api import Browser, Page

from benchmarks.ground import ground
from benchmarks.past import make_past
from tests.browser.walking import Scheme, browsing, served, walking
from tests.browser.world import BREAD, DAILY, addresses, world

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS = {"desk": 1280, "tablet": 768, "phone": 390, "small": 320}
PLAIN = (
    *("/", "/reviews", "/pipelines", "/runs", "/events", "/schedules", "/backfills", "/models", "/system"),
    *("/pipelines/bread", "/schedules/daily/cron%3A0%203%20%2A%20%2A%20%2A", "/backfills/new", "/audit", "/sign-in"),
)
OPEN = """() => {
  const closed = [...document.querySelectorAll("details:not([open])")];
  for (const one of closed) one.open = true;
  return closed.length;
}"""
TIMES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return [page.responseStart - page.requestStart, paint ? paint.startTime : -1];
}"""


async def shoot(folder: Path, runs: int) -> None:
    """All of them."""
    async with ground() as here, served(here.dsn, here.folder, BREAD, DAILY) as base, browsing() as browser:
        await _all(browser, base, folder / "none", PLAIN)
    async with ground() as here, world(here.dsn, here.folder) as (base, browser, named):
        await _all(browser, base, folder / "little", addresses(named))
    if runs:
        async with ground() as here:
            await make_past(here.dsn, runs)
            async with world(here.dsn, here.folder) as (base, browser, named):
                await _all(browser, base, folder / "many", addresses(named))


async def _all(browser: Browser, base: str, folder: Path, paths: Iterable[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    for scheme in SCHEMES:
        for name, width in WIDTHS.items():
            async with walking(browser, base, scheme, width) as walk:
                for path in paths:
                    await walk.to(path)
                    told.append(f"{await _times(walk.page)} {scheme} {name} {path}")
                    picture = folder / f"{_file(path)}-{name}-{scheme}.png"
                    await walk.page.screenshot(path=picture, full_page=True)
                    if await walk.page.evaluate(OPEN):
                        await walk.page.screenshot(path=picture.with_stem(f"{picture.stem}-open"), full_page=True)
    (folder / "times.txt").write_text("\n".join(sorted(told, reverse=True)) + "\n")


async def _times(page: Page) -> str:
    first_byte, paint = await page.evaluate(TIMES)
    return f"{first_byte:6.0f} {paint:6.0f}"


def _file(path: str) -> str:
    return re.sub(r"\W+", "-", path.replace("?", "-asked-")).strip("-")[:120] or "now"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.browser.shots", description="Pictures of every page.")
    parser.add_argument("folder", type=Path, help="where to put them")
    parser.add_argument("--runs", type=int, default=0, help="how many runs the last of the three has behind it")
    given = parser.parse_args()
    asyncio.run(shoot(given.folder, given.runs))
