"""A daemon of its own process, and somebody who looks at it in a Chromium that keeps account of what goes wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
from playwright.async_api import Browser, Page, async_playwright

from tests.browser.supply import axe, chromium, environment_of
from tests.fault.daemons import ROOT, starting_daemon

STEADY_S = 30.0
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What a page that is left gives up itself.
LEFT = "net::ERR_ABORTED"
OVERFLOWING = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > width && !one.closest(".wide, pre"))
    .map((one) => `${one.tagName}.${one.className} ${one.textContent.trim().slice(0, 60)}`);
}"""
CUT = """() => [...document.querySelectorAll(".wide:not([tabindex]):has(table), .counters a, .card")]
  .filter((one) => one.scrollWidth > one.clientWidth)
  .map((one) => one.innerText.slice(0, 80))"""
Scheme = Literal["light", "dark"]


@asynccontextmanager
async def served(dsn: str, folder: Path, *pipelines: str, **variables: str) -> AsyncIterator[str]:
    """`tidemill serve` with every role, on the files of the test; its address."""
    roles = "api,triggers,executor"
    async with starting_daemon(dsn, folder, *pipelines, roles=roles, code=ROOT, **variables) as process:
        assert process.stdout is not None
        async with asyncio.timeout(STEADY_S):
            while b"API" not in (line := await process.stdout.readline()):
                assert line, "the daemon ended before it was ready"
        yield line.decode().split()[-1]


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """A Chromium without a window."""
    one = await asyncio.to_thread(chromium)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=one.path, args=["--no-sandbox"], env=environment_of(one)
        )
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Walk:
    """Somebody at a page. `wrong`: what a browser's console would show in red."""

    base: str
    page: Page
    wrong: list[str] = field(default_factory=list)

    async def to(self, path: str) -> None:
        """Go to an address, and wait until its stream is open where it has one."""
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        assert answer.ok, f"{path}: {answer.status}"
        if await self.page.locator("body[data-stream]").count():
            await self.page.locator("#stream.on").wait_for()

    async def sees(self, text: str | re.Pattern[str], where: str = "main") -> None:
        """Wait until a text stands on the page, without loading it again."""
        await self.page.locator(where).get_by_text(text).filter(visible=True).first.wait_for()

    async def run_is(self, run: int, state: str) -> None:
        """Wait on the page of a run until it says so of itself."""
        await self.to(f"/runs/{run}")
        await self.page.locator("h1", has_text=state).wait_for()

    async def press(self, name: str) -> None:
        """Press a button of this name."""
        await self.page.get_by_role("button", name=name, exact=True).first.click()

    async def follow(self, name: str) -> None:
        """Go where a link of this name leads."""
        await self.page.get_by_role("link", name=name).first.click()

    async def name(self, by: str = "kim") -> None:
        """Fill in who one is, where a form that is shown asks."""
        await self.page.locator("input[name=by]:visible").first.fill(by)

    async def unfold(self, summary: str) -> None:
        """Open what is folded."""
        await self.page.locator("summary", has_text=summary).first.click()


@asynccontextmanager
async def walking(browser: Browser, base: str, scheme: Scheme = "light", width: int = 1280) -> AsyncIterator[Walk]:
    """At the end nothing went wrong."""
    context = await browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    context.set_default_timeout(STEADY_S * 1000)
    walk = Walk(base, await context.new_page())
    page = walk.page
    page.on("console", lambda one: walk.wrong.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: walk.wrong.append(str(error)))
    page.on("requestfailed", lambda one: None if one.failure == LEFT else walk.wrong.append(f"{one.url} {one.failure}"))
    page.on("response", lambda one: walk.wrong.append(f"{one.url} {one.status}") if one.status >= 400 else None)
    try:
        yield walk
        assert walk.wrong == []
    finally:
        await context.close()


async def barriers(page: Page) -> list[str]:
    """What axe-core says is wrong with the page as it stands, by the rules of WCAG up to AA."""
    await page.evaluate(axe())
    run = "tags => axe.run({runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})"
    found: Mapping[str, Any] = await page.evaluate(run, WCAG)
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def posted(base: str, path: str, body: Any) -> Any:
    """What a program sends, and is answered."""
    async with httpx.AsyncClient(base_url=base) as http:
        answer = await http.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()


async def overflowing(page: Page) -> list[str]:
    """What reaches past the window's edge though nothing around it scrolls: on a phone it is cut."""
    found: list[str] = await page.evaluate(OVERFLOWING)
    return found


async def cut(page: Page) -> list[str]:
    """What reaches out of its box, and tables that can be seen only by scrolling, but those that keys scroll."""
    found: list[str] = await page.evaluate(CUT)
    return found
