"""The writer's statements go by their indexes, whatever the planner believes of tables it has no statistics of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.db.connect import connect, sql

ARGUMENTS = {
    "accept": "given_event[], given_run[], given_fate[]",
    "put_attempts": "given_attempt[]",
    "usual": "bigint, bigint, given_event[], given_run[], given_fate[], text[], text[], text[], text[],"
    " given_attempt[], bytea, given_move[], text, text, text, boolean",
    "put_gates": "bigint[], int[], text[], text[], text[], text[], text[], bytea[], text[], text[],"
    " float8[], text[], bigint[]",
    "move_runs": "given_move[]",
    "known_results": "uuid[]",
    "claim": "bigint, text[], text[], int, text[], float8",
    "next_ready": "text[], text[], float8",
    "standing": "bigint, text[], int",
    "candidates": "text[], text[], int[], timestamptz",
    "starts": "text[], text[], float8[], int[], timestamptz",
    "take": "bigint, bigint[], text[], boolean[], text[], timestamptz",
    "hold": "bigint[], text[], text[], text[], float8[], timestamptz",
    "close_lanes": "text[], text[]",
    "lock_keys": "text[], text[]",
    "unfinished_of_keys": "text[], text[]",
    "decided_places": "uuid[], text[]",
    "put_dropped": "uuid[], text[], text[], text[]",
    "gathering_runs": "text[], text[], text[]",
    "burst_starts": "text[], text[], text[], float8[], int[]",
    "gather": "bigint[], text[], int[], timestamptz[], bytea[]",
    "put_burst_keys": "bigint[], text[]",
    "put_joined": "uuid[], text[], text[], text[], bigint[], int[]",
    "gathered_events": "bigint[]",
    "renew_lease": "bigint",
    "move_positions": "int[], text[], text[], text[], text[]",
    "drop_positions": "text[], text[]",
    "outcomes_of": "uuid[]",
    "adopt": "bigint",
    "put_progress": "bigint[], text[], int[], int[], float4[], text[]",
    "last_log_line": "bigint, text, int, int",
    "hold_in_order": "bigint[], text[]",
    "hold_backfill": "bigint",
    "settle_backfill": "bigint",
    "under_way": "bigint",
    "ran_already": "uuid[], text",
    "take_over_ticks": "uuid[], bytea[], text",
    "put_backfill_ticks": "bigint, timestamptz[], text[], bigint[], text[]",
    "lock_sequences": "text[]",
    "next_in_order": "text[]",
    "sink_page": "text, bigint, int",
    "sink_more": "text, bigint",
    "sink_move": "text, text, bigint, bigint, bigint",
    "sink_trouble": "text, text",
    "sink_runs": "bigint[]",
    "list_sinks": "text[]",
}
# Live rows only: these may be walked, because they hold no history.
SHORT = {"daemons", "pools", "pause_changes"}


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


def walks(nodes: list[dict[str, Any]]) -> set[str]:
    """The tables that hold history, and are read from end to end."""
    return {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} - SHORT


async def plan_of(dsn: str, name: str) -> list[dict[str, Any]]:
    """The nodes of a statement's generic plan."""
    connection = await connect(dsn, by_index=True)
    try:
        await connection.execute("set plan_cache_mode = force_generic_plan")
        await connection.execute(f"prepare hot ({ARGUMENTS[name]}) as {sql(name)}")
        nulls = ", ".join("null" for _ in ARGUMENTS[name].split(","))
        [row] = await connection.fetch(f"explain (format json) execute hot ({nulls})")
        [told] = json.loads(row[0])
        return list(steps(told["Plan"]))
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ARGUMENTS)
async def test_no_hot_statement_walks_a_table(database: str, name: str) -> None:
    nodes = await plan_of(database, name)
    assert not walks(nodes)
    assert not [node for node in nodes if node["Node Type"] in ("Hash Join", "Merge Join")]


@pytest.mark.parametrize("name", ["put_attempts", "put_gates", "move_runs", "known_results"])
async def test_each_given_row_finds_its_own_by_the_key(database: str, name: str) -> None:
    conditions = [node["Index Cond"] for node in await plan_of(database, name) if "Index Cond" in node]
    assert conditions
    assert all(any(given in one for given in ("g.", "p.", "m.")) for one in conditions)


async def test_no_hot_statement_walks_a_table_with_ten_million_runs_behind_it(history: str) -> None:
    walked = {name: walks(await plan_of(history, name)) for name in ARGUMENTS}
    assert not {name: tables for name, tables in walked.items() if tables}


INDEXES = {
    "claim": {"runs_in_line", "runs_owned", "lanes_by_opening", "runs_pkey", "attempts_pkey", "events_pkey"},
    "next_ready": {"runs_in_line", "lanes_by_opening"},
    "standing": {"runs_limited", "runs_owned", "lanes_by_opening"},
    "candidates": {"runs_in_line"},
    "starts": {"runs_started"},
    "take": {"runs_pkey", "attempts_pkey", "events_pkey"},
    "hold": {"runs_pkey"},
    "close_lanes": {"lanes_pkey", "runs_in_line"},
    "unfinished_of_keys": {"runs_of_key"},
    "hold_in_order": {"runs_pkey"},
    "next_in_order": {"runs_in_sequence", "runs_pkey"},
    "gathering_runs": {"runs_gathering"},
    "burst_starts": {"runs_in_burst"},
    "gather": {"runs_pkey"},
    "put_burst_keys": {"runs_pkey"},
    "put_joined": {"runs_event_key_pipeline_key"},
    "gathered_events": {"fates_by_run", "events_pkey"},
    "decided_places": {"runs_event_key_pipeline_key", "fates_pkey"},
}


@pytest.mark.parametrize("name", INDEXES)
async def test_claiming_goes_by_the_indexes_made_for_it(database: str, name: str) -> None:
    assert {node["Index Name"] for node in await plan_of(database, name) if "Index Name" in node} == INDEXES[name]


@pytest.mark.parametrize("name", ["claim", "next_ready", "candidates"])
async def test_a_line_is_walked_from_its_head_and_no_further_than_what_is_ready(database: str, name: str) -> None:
    walks = [node for node in await plan_of(database, name) if node.get("Index Name") == "runs_in_line"]
    assert walks
    assert not [node for node in walks if "Filter" in node]
    assert all("held" in node["Index Cond"] for node in walks)
