"""A page by name reads what it shows, however many versions there are behind each name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.db.connect import connect, sql
from tests.plans.reading import steps

VERSIONS, MODELS, PAGE = 20_000, 200, 50
MADE = """
insert into model_versions (model, version, state, artifacts, metrics, lineage, idempotency_key)
select model, version, 'staging', '{}', '{}', '{}', model || version
from generate_series(1, $2::int) n cross join lateral (select 'm' || lpad(n::text, 4, '0') as model) named
cross join lateral generate_series(1, case n when 1 then $1::int else 2 end) version
"""
LOADED = """
insert into pipelines (name, version, definition, first_seen_at)
select name, 'v' || lpad(version::text, 6, '0'), '{}', timestamptz '2026-01-01' + interval '1 s' * (version / 2)
from generate_series(1, $2::int) n cross join lateral (select 'p' || lpad(n::text, 4, '0') as name) named
cross join lateral generate_series(1, case n when 1 then $1::int else 2 end) version
"""


async def read(database: str, name: str, *arguments: Any) -> int:
    """How many rows a statement gets from tables and indexes."""
    connection = await connect(database)
    try:
        told = await connection.fetchval(f"explain (analyze, format json) {sql(name)}", *arguments)
    finally:
        await connection.close()
    scans = [one for one in steps(json.loads(told)[0]["Plan"]) if "Relation Name" in one]
    return sum(one["Actual Rows"] * one["Actual Loops"] + one.get("Rows Removed by Filter", 0) for one in scans)


@pytest.mark.rows_by_hand
async def test_a_page_reads_what_it_shows(database: str) -> None:
    connection = await connect(database)
    await connection.execute(MADE, VERSIONS, MODELS)
    await connection.execute(LOADED, VERSIONS, MODELS)
    for table in ("model_versions", "pipelines"):
        await connection.execute(f"vacuum analyze {table}")
    await connection.close()
    for after in (None, "m0001", "m0100"):
        assert await read(database, "list_models", after, PAGE) <= 3 * PAGE
    assert await read(database, "show_model", "m0001") == 1
    for after in (None, "p0001", "p0100"):
        assert await read(database, "known_pipelines", after, PAGE, ["loaded"]) <= 2 * PAGE
    for before in (None, "v020000", "v010000"):
        assert await read(database, "pipeline_versions", "p0001", "", PAGE, before) <= 2 * PAGE


@pytest.mark.rows_by_hand
async def test_pages_of_versions_leave_none_out_and_tell_none_twice(database: str) -> None:
    connection = await connect(database)
    await connection.execute(LOADED, 25, 2)
    found: list[str] = []
    before = None
    while rows := await connection.fetch(sql("pipeline_versions"), "p0001", "", 4, before):
        found += [row["version"] for row in rows]
        before = found[-1]
    await connection.close()
    assert found == [f"v{number:06}" for number in range(25, 0, -1)]
