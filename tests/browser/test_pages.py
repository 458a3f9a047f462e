"""Every page read out: axe-core finds no barrier by WCAG 2.2 AA, light and dark, on a desk, a tablet and phones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.walking import Scheme, barriers, cut, overflowing, walking
from tests.browser.world import addresses, world


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390, 320])
async def test_no_page_has_a_barrier(database: str, tmp_path: Path, scheme: Scheme, width: int) -> None:
    found: list[str] = []
    async with world(database, tmp_path) as (base, browser, named), walking(browser, base, scheme, width) as walk:
        for path in addresses(named):
            await walk.to(path)
            found += [f"{path}: {one}" for one in await barriers(walk.page)]
            found += [f"{path}: wider than the window: {one}" for one in await overflowing(walk.page)]
            found += [f"{path}: cut: {one}" for one in await cut(walk.page)]
    assert not found, "\n".join(found)
