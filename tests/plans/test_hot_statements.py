"""The writer's statements go by their indexes, whatever the planner believes of tables it has no statistics of."""

from __future__ import annotations

from typing import Any

import pytest

from service.db.connect import connect
from tests.plans.reading import generic_plan, read_whole

# What a run, an event, a trigger or a daemon that does nothing costs again and again.
HOT = (
    "accept",
    "adopt",
    "adopt_child",
    "attempts_of",
    "blame",
    "burst_starts",
    "candidates",
    "claim",
    "claim_kept",
    "close_lanes",
    "decided_places",
    "drop_positions",
    "end_standing",
    "ended_child",
    "expire_queued",
    "for_version",
    "forget_keys",
    "gates_of",
    "gather",
    "gathered_events",
    "gathering_runs",
    "hold",
    "hold_backfill",
    "hold_in_order",
    "known_results",
    "last_log_line",
    "list_sinks",
    "lock_keys",
    "lock_run",
    "lock_sequences",
    "log",
    "mark_late",
    "move_positions",
    "move_runs",
    "next_in_order",
    "next_ready",
    "note_pauses",
    "outcomes_of",
    "owned_runs",
    "owns_run",
    "poke",
    "position_at",
    "positions",
    "put_attempts",
    "put_audit",
    "put_backfill_ticks",
    "put_burst_keys",
    "put_costs",
    "put_dropped",
    "put_fenced",
    "put_gates",
    "put_joined",
    "put_log_lines",
    "put_positions",
    "put_progress",
    "put_trigger_seen",
    "put_trigger_statuses",
    "ran_already",
    "release",
    "renew_lease",
    "request_cancel",
    "run_state",
    "set_aside",
    "set_aside_items",
    "settle_backfill",
    "sink_more",
    "sink_move",
    "sink_page",
    "sink_runs",
    "sink_trouble",
    "standing",
    "starts",
    "take",
    "take_key",
    "take_over_ticks",
    "under_way",
    "unfinished_of_keys",
    "use_tokens",
    "usual",
    "wake",
)
# Live rows only: these may be walked, because they hold no history.
SHORT = {"daemons", "pools", "pause_changes"}


async def plan_of(dsn: str, name: str) -> list[dict[str, Any]]:
    """The nodes of a statement's generic plan."""
    connection = await connect(dsn, by_index=True)
    try:
        return await generic_plan(connection, name)
    finally:
        await connection.close()


async def walked(dsn: str) -> dict[str, set[str]]:
    """The tables that hold history, and are read from end to end, by statement."""
    connection = await connect(dsn, by_index=True)
    try:
        read = {name: await read_whole(connection, name) - SHORT for name in HOT}
        return {name: tables for name, tables in read.items() if tables}
    finally:
        await connection.close()


async def test_no_hot_statement_walks_a_table(database: str) -> None:
    assert not await walked(database)


async def test_no_hot_statement_walks_a_table_with_ten_million_runs_behind_it(history: str) -> None:
    """Also none of what is taken for empty there: positions, lanes, votes, runs under way."""
    assert not await walked(history)


@pytest.mark.parametrize("name", HOT)
async def test_no_hot_statement_is_joined_by_hashing_or_sorting(database: str, name: str) -> None:
    assert not [node for node in await plan_of(database, name) if node["Node Type"] in ("Hash Join", "Merge Join")]


@pytest.mark.parametrize("name", ["put_attempts", "put_gates", "move_runs", "known_results"])
async def test_each_given_row_finds_its_own_by_the_key(database: str, name: str) -> None:
    conditions = [node["Index Cond"] for node in await plan_of(database, name) if "Index Cond" in node]
    assert conditions
    assert all(any(given in one for given in ("g.", "p.", "m.")) for one in conditions)


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
