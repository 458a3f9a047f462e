"""How pages use the room there is: tables stay tables on a tablet, and forms that are opened have a line each."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.browser.pipelines import FLOUR
from tests.browser.walking import browsing, posted, served, walking
from tests.browser.world import BREAD, DAILY, addresses, world

ROWS = """() => [...document.querySelectorAll("table.stack tbody tr")].map((row) => getComputedStyle(row).display)"""
# How far below the first of the opened ones the others begin, as their lines are high.
BELOW = """() => {
  const forms = [...document.querySelectorAll(".act > details")];
  for (const one of forms) one.open = true;
  const boxes = forms.map((one) => one.getBoundingClientRect());
  return boxes.slice(1).every((box, place) => box.top >= boxes[place].bottom && box.left === boxes[0].left);
}"""


async def _rows(page: Page) -> set[str]:
    found: list[str] = await page.evaluate(ROWS)
    return set(found)


@pytest.mark.parametrize(("width", "display"), [(768, "table-row"), (390, "block")])
async def test_a_table_is_told_row_by_row_only_on_a_phone(
    database: str, tmp_path: Path, width: int, display: str
) -> None:
    async with world(database, tmp_path) as (base, browser, named), walking(browser, base, "light", width) as walk:
        found: set[str] = set()
        for path in addresses(named):
            await walk.to(path)
            found |= await _rows(walk.page)
    assert found == {display}


async def test_forms_that_are_opened_stand_below_each_other(database: str, tmp_path: Path) -> None:
    async with (
        served(database, tmp_path, BREAD, DAILY, **{FLOUR: "none"}) as base,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        await posted(base, "/hooks/flour", {"kind": "wheat"})
        await walk.run_is(1, "failed")
        for path in ("/runs/1", "/pipelines/bread", "/schedules/daily/cron%3A0%203%20%2A%20%2A%20%2A"):
            await walk.to(path)
            assert await walk.page.evaluate(BELOW), path


async def test_rare_filters_are_folded_and_open_while_they_narrow(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, DAILY) as base, browsing() as browser, walking(browser, base) as walk:
        await walk.to("/runs")
        await walk.unfold("More filters")
        await walk.page.get_by_label("Tag").fill("backfill-1")
        await walk.press("Show")
        await walk.page.wait_for_url("**/runs?tag=backfill-1")
        await walk.sees("No run of this kind.")
        assert await walk.page.get_by_label("Tag").is_visible()
