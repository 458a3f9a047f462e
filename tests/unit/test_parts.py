"""The parts in which is looked for what no index finds."""

from __future__ import annotations

import pytest

from service.db import parts


def sizes(monkeypatch: pytest.MonkeyPatch, *took_s: float) -> tuple[list[int], bool]:
    """How large each part was where the one before took so long, and whether there is time for another."""
    at_s, more = 0.0, True
    monkeypatch.setattr(parts, "monotonic", lambda: at_s)
    search = parts.Parts()
    found = []
    for each_s in took_s:
        found.append(search.size)
        at_s += each_s
        more = search.go_on()
    return found, more


def test_parts_grow_while_each_takes_a_small_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sizes(monkeypatch, 0.001, 0.002, 0.003, 0.004) == ([1_000, 2_000, 4_000, 8_000], True)


def test_what_took_long_is_followed_by_nothing_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sizes(monkeypatch, 0.001, 0.005, 0.005, 0.001, 0.001) == ([1_000, 2_000, 2_000, 2_000, 4_000], True)


def test_a_search_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sizes(monkeypatch, 0.01, 0.01, 0.0101) == ([1_000, 1_000, 1_000], False)
