"""Nothing competes with the first paint of a page."""

from __future__ import annotations

from pathlib import Path

from tests.browser.pipelines import FLOUR
from tests.browser.walking import browsing, served, walking

BREAD = "tests.browser.pipelines:bread"
EARLY = """() => {
  const [{ startTime: painted }] = performance.getEntriesByName("first-contentful-paint");
  return performance.getEntriesByType("resource")
    .filter((one) => one.startTime < painted)
    .map((one) => one.name.split("/").pop());
}"""


async def test_what_a_page_does_is_fetched_once_it_is_painted(database: str, tmp_path: Path) -> None:
    async with (
        served(database, tmp_path, BREAD, **{FLOUR: str(tmp_path / "flour")}) as base,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        await walk.to("/")
        early = await walk.page.evaluate(EARLY)
    assert set(early) <= {"begin.js", "mark.svg"}
