"""A word as long as others like breaks in its place, on a desk, a tablet and phones: it pushes nothing out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.pipelines import FLOUR
from tests.browser.walking import browsing, cut, overflowing, posted, served, walking
from tests.browser.world import BREAD

LONG = "tests.browser.pipelines:named_long"


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
async def test_a_long_word_breaks_and_cuts_nothing_beside_it(database: str, tmp_path: Path, width: int) -> None:
    flour = tmp_path / ("w" * 240)
    async with (
        served(database, tmp_path, BREAD, LONG, **{FLOUR: str(flour)}) as base,
        browsing() as browser,
        walking(browser, base, "light", width) as walk,
    ):
        await posted(base, "/hooks/flour", {"kind": "wheat"})
        await walk.run_is(1, "failed")
        await walk.sees("w" * 240, "#stages")
        await posted(base, "/api/v1/runs/1/abandon", {"by": "kim", "reason": "r" * 300})
        await posted(base, "/api/v1/pauses", {"what": "bread", "by": "k" * 150, "reason": "p" * 300})
        for path in (
            "/",
            "/audit",
            "/runs/1",
            "/runs",
            "/events",
            "/pipelines",
            "/schedules",
            "/backfills/new",
            "/system",
        ):
            await walk.to(path)
            assert await cut(walk.page) == [], path
            assert await overflowing(walk.page) == [], path
