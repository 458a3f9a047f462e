"""The pages that the documentation names are there."""

from __future__ import annotations

import re
from pathlib import Path

from service.console.look import cut
from service.console.pages import PAGES

DOCUMENT = Path(__file__).parents[2] / "docs" / "console.md"


def test_every_page_in_the_documentation_is_one() -> None:
    named = {
        re.sub(r"[A-Z]+", "{}", path) for path in re.findall(r"`(/[A-Za-z/]*)`", DOCUMENT.read_text(encoding="utf-8"))
    }
    assert "/events/{}/explain" in named
    assert named <= {re.sub(r"\{[^}]*\}", "{}", path) for path, _ in PAGES}


def test_a_name_that_is_too_long_shows_both_ends_and_the_whole_when_pointed_at() -> None:
    assert cut("landing/flights/2026-01.parquet") == "landing/flights/2026-01.parquet"
    name = "<b>" + "x" * 2000 + "/2026-01.parquet"
    told = str(cut(name))
    assert told.endswith("x/2026-01.parquet</span>")
    assert told.startswith(f'<span title="&lt;b&gt;{"x" * 2000}/2026-01.parquet">&lt;b&gt;xx')
    assert len(told.partition(">")[2]) < 100
