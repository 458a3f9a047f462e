"""Runs with a tag are had from the index of tags where that takes a moment, and a page of them reads what it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from benchmarks.past import make_past
from service.db import tagged
from service.db.reads import Reads
from service.db.rows import Row
from service.db.views import Views
from tests.db.writing import rows
from tests.plans.test_lists_by_name import read

TAGGED, PAGE = 300, 10


class Counted(Reads):
    """Counts the rows that each statement gets from tables and indexes."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, size=2)
        self.dsn = dsn
        self.rows: Counter[str] = Counter()

    async def fetch(self, name: str, *arguments: Any) -> list[Row]:
        self.rows[name] += await read(self.dsn, name, *arguments)
        return await super().fetch(name, *arguments)


@pytest.fixture
async def reads(database: str) -> AsyncIterator[Counted]:
    """Of 5,000 runs the oldest have a tag."""
    await make_past(database, 5_000)
    await rows(database, f"update runs set tags = '[\"old\"]' where id <= {TAGGED}")
    await rows(database, "vacuum (analyze) runs")
    found = Counted(database)
    await found.open()
    yield found
    await found.close()


@pytest.mark.rows_by_hand
async def test_a_page_reads_what_it_shows(reads: Counted) -> None:
    among = await tagged.tagged(reads, ["old"])
    page = await Views(reads).runs(tags=["old"], among=among, limit=PAGE)
    assert [run["id"] for run in page["runs"]] == list(range(TAGGED, TAGGED - PAGE, -1))
    assert reads.rows["list_runs"] < 5 * PAGE


@pytest.mark.rows_by_hand
async def test_the_index_is_not_read_through_for_a_tag_that_many_runs_have(
    reads: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagged, "MOST_EXPECTED", TAGGED // 2)
    assert await tagged.tagged(reads, ["old"]) is None
    assert await tagged.tagged(reads, ["none"]) == []
    assert reads.rows["tagged_runs"] == 0


@pytest.mark.rows_by_hand
async def test_what_a_tenth_takes_long_for_is_not_read_to_its_end(
    reads: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tagged, "MOST_TAGGED", TAGGED)
    monkeypatch.setattr(tagged, "TENTH_S", 60)
    assert len(await tagged.tagged(reads, ["old"]) or ()) == TAGGED
    monkeypatch.setattr(tagged, "TENTH_S", 0)
    reads.rows.clear()
    assert await tagged.tagged(reads, ["old"]) is None
    assert reads.rows["tagged_runs"] <= TAGGED // 10 + 1
