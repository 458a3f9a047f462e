"""The pages that the documentation names are there."""

from __future__ import annotations

import re
from pathlib import Path

from service.console.pages import PAGES

DOCUMENT = Path(__file__).parents[2] / "docs" / "console.md"


def test_every_page_in_the_documentation_is_one() -> None:
    named = {
        re.sub(r"[A-Z]+", "{}", path) for path in re.findall(r"`(/[A-Za-z/]*)`", DOCUMENT.read_text(encoding="utf-8"))
    }
    assert "/events/{}/explain" in named
    assert named <= {re.sub(r"\{[^}]*\}", "{}", path) for path, _ in PAGES}
