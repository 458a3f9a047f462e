"""What people look at, and what cleans up behind them, stays quick however many runs have finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from benchmarks.past import make_past
from service.db.connect import FOR_READING, SESSION, connect, sql
from tests.db.writing import rows
from tests.plans.reading import steps
from tests.plans.ten_million import take_for_ten_million

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
BY_FATE = ("t", None, "late", None, 50, None, WHEN, WHEN, "q", "t", "x", 20_000)
# Each with what it is asked; the tables that it may walk; the index it must use.
ASKED: dict[str, tuple[tuple[Any, ...], set[str], str]] = {
    "list_reviews": ((None, None, 50), set(), "runs_to_review"),
    "count_reviews": ((), set(), "runs_to_review"),
    "review_attempts": (([1, 2, 3],), set(), "attempts_pkey"),
    "story_attempts": ((7,), set(), "attempts_pkey"),
    "story_caused": ((7,), set(), "runs_by_cause"),
    "story_models": ((7,), {"model_versions", "model_aliases"}, ""),
    "run_before": (("rare", 19_000), set(), "runs_by_pipeline"),
    "list_runs": ((None, None, None, None, 50, None, None, None, None, [7, 9]), {"gates"}, "runs_pkey"),
    "tagged_runs": (('["rare"]', 10_001), set(), "runs_by_tag"),
    "show_attempts": ((7, 1000), set(), "attempt_costs_pkey"),
    "show_costs": ((7,), set(), "attempt_costs_pkey"),
    "put_costs": (([7], ["a"], [-1], [2], [1.0], [1]), set(), "runs_pkey"),
    "run_states": (([1, 2, 3],), set(), "runs_pkey"),
    "errors_of": (([1, 2], ["a", "a"], [-1, 3]), set(), "attempts_pkey"),
    "triggers_since": ((["p1", "rare"], ["t", "t"]), {"pipelines"}, ""),
    "run_at": ((WHEN,), set(), "runs_pkey"),
    "started_within": (("rare", "", 60.0), set(), "runs_started"),
    "known_events": (([UUID(int=n) for n in range(50)],), set(), "events_pkey"),
    "show_events": ((UUID(int=7), "7"), set(), "events_by_start_of_id"),
    "events_of_ids": ((["1", "2"],), set(), "events_by_start_of_id"),
    "gathering_now": ((["rare"], ["t"], ["k"]), set(), ""),
    "seq_at": ((WHEN,), set(), "events_by_seq"),
    "inbox_page": ((100, 300, WHEN, WHEN, None, 1000), set(), "events_by_seq"),
    "waiting_gates": ((None, None, 20, "p1", "g"), set(), "gates_waiting"),
    "votes_about": (([1, 2, 3],), {"gate_votes"}, ""),
    "people_wait": ((), set(), "gates_waiting"),
    "latest_runs": ((["rare", "p1"], 16), set(), "runs_by_pipeline"),
    "newest_runs": ((300,), set(), "attempts_pkey"),
    "fenced_of": ((7, 1000), {"fenced_effects"}, ""),
    "replays_of": ((UUID(int=7),), {"replays"}, ""),
    "production_of": (("p1",), {"model_aliases", "model_versions"}, ""),
    "made_elsewhere": (("a" * 64, 7, None, 50), set(), "attempts_by_output"),
    "used_artifacts": ((["a" * 64],), set(), "attempts_by_output"),
    "count_uses": ((["a" * 64],), set(), "attempts_by_output"),
    "removable_runs": (("rare", 3, 86_400.0, 0, [], 200, 20_000), {"model_versions"}, "runs_by_pipeline"),
    "stored_outputs": ((list(range(1, 201)),), set(), "attempts_pkey"),
    "look_ahead": (("rare", 0, 20_000, 86_400.0), set(), "runs_by_pipeline"),
    "run_pipelines": ((), set(), "runs_by_pipeline"),
    "count_removing": ((), set(), "fates_removing"),
    "mark_removed": (([1, 2, 3],), set(), "runs_pkey"),
    "remove_runs": ((200,), set(), "fates_removing"),
    "list_events": (("t", "s", 15_000, 50, "ran", 10_000, "some", "p1", "t"), set(), "events_by_seq"),
    "list_events_by_fate": (
        (*("t", None, "late", None, 50, None, WHEN, WHEN), "q", "t", "x", 20_000),
        set(),
        "fates_told",
    ),
    "look_on_by_fate": (("late", 15_000, None, WHEN, None, 20_000), set(), "fates_told"),
    "run_events": ((7, 0, 50), set(), "fates_by_run"),
    "count_old_events": ((0, 86_400.0, 1000, [1, 2]), set(), "events_by_seq"),
    "remove_events": ((0, 86_400.0, 1000), set(), "events_by_seq"),
    "removed_until": ((), {"events_removed"}, ""),
    "remove_bodies": (("hook bodies", "", 86_400.0, 1000), set(), "positions_pkey"),
    "remove_predictions": ((86_400.0, 1000), {"predictions"}, ""),
    "count_predictions": ((["m"], [1]), {"predictions"}, ""),
    "prediction_days": (("m", 1, None, 31), {"predictions"}, ""),
    "latest_predictions": (("m", 1, 10), {"predictions"}, ""),
    "known_pipelines": (("p1", 50, ["loaded"]), set(), ""),
    "pipeline_versions": (("p1", "", 50, "1"), set(), "pipelines_by_age"),
    "list_models": (("m", 50), set(), "model_versions_pkey"),
    "list_aliases": (("m", "a", 50), set(), "model_aliases_pkey"),
    "show_model": (("m",), set(), "model_versions_pkey"),
    "position_at": (("hook bodies", "ci 00"), set(), "positions_pkey"),
}
LOGGED = """
insert into run_log (at, daemon, entries)
select now() - interval '91 days', 1, convert_to(json_agg(json_build_object('run', id, 'move', state))::text, 'UTF8')
from runs group by id / 2
"""
LOOKED_AT = {
    *("list_events", "show_events", "list_events_by_fate", "look_on_by_fate", "run_events"),
    *("latest_runs", "list_reviews", "count_reviews", "review_attempts", "run_before", "list_runs", "tagged_runs"),
}


def indexes(nodes: list[dict[str, Any]]) -> Iterator[str]:
    return (node["Index Name"] for node in nodes if "Index Name" in node)


async def test_no_statement_walks_the_history(history: str) -> None:
    wrong = {}
    for name, (arguments, short, index) in ASKED.items():
        nodes = await plan_of(history, name, arguments)
        walked = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"} - short
        if walked or (index and index not in set(indexes(nodes))):
            wrong[name] = (walked, sorted(indexes(nodes)))
    assert not wrong, json.dumps(wrong, default=sorted, indent=1)


@pytest.mark.parametrize(("pipeline", "state"), [(None, "failed"), ("p1", "failed"), (None, "cancelled")])
async def test_runs_that_did_not_succeed_are_listed_by_an_index_of_their_own(
    history: str, pipeline: str | None, state: str
) -> None:
    nodes = await plan_of(history, "list_runs", (pipeline, state, None, None, 50, None, None, None, None, None))
    assert "runs_unsuccessful" in set(indexes(nodes))


@pytest.mark.rows_by_hand
async def test_failed_runs_of_a_pipeline_are_found_among_the_failed_ones_of_others(database: str) -> None:
    await make_past(database, 5_000)
    await rows(database, "update runs set pipeline = 'other' where id % 2 = 0")
    await rows(database, "update runs set state = 'failed', failure = '{}' where id % 200 = 0")
    await rows(database, "vacuum (analyze) runs")
    nodes = await plan_of(database, "list_runs", ("six", "failed", None, None, 50, None, None, None, None, None))
    assert "runs_unsuccessful_of_pipeline" in set(indexes(nodes))


@pytest.mark.parametrize("name", ["count_reviews", "people_wait"])
async def test_what_waits_for_a_person_is_counted_without_reading_it(history: str, name: str) -> None:
    nodes = await plan_of(history, name, ())
    counted = [node for node in nodes if node.get("Index Name") == "runs_to_review"]
    assert [node["Node Type"] for node in counted] == ["Index Only Scan"]


async def test_what_no_index_finds_is_looked_for_in_a_part_of_the_runs(history: str) -> None:
    nodes = await plan_of(history, "list_runs", (None, None, None, 15_000, 50, None, 14_000, "t", "some", None))
    bounded = [node for node in nodes if node.get("Index Name") == "runs_pkey"]
    assert ["id < " in node["Index Cond"] and "id >= " in node["Index Cond"] for node in bounded] == [True]


async def test_a_part_of_the_runs_is_not_searched_by_all_that_have_the_tag(history: str) -> None:
    nodes = await plan_of(history, "list_runs", (None, None, None, 15_000, 50, '["rare"]', 5_000, None, None, None))
    assert "runs_by_tag" not in set(indexes(nodes))


@pytest.mark.rows_by_hand
async def test_few_runs_are_found_among_many_of_another_pipeline(database: str) -> None:
    await make_past(database, 5_000)
    nodes = await plan_of(database, "latest_runs", (["rare"], 16))
    assert set(indexes(nodes)) == {"runs_by_pipeline"}


@pytest.mark.rows_by_hand
async def test_the_run_log_is_not_read_through_for_each_run(database: str) -> None:
    await make_past(database, 20_000)
    await rows(database, LOGGED)
    connection = await connect(database)
    await take_for_ten_million(connection)
    told = await connection.fetchval(f"explain (format json) {sql('ledger_told')}", 1)
    await connection.close()
    joins = [node["Node Type"] for node in steps(json.loads(told)[0]["Plan"]) if "Anti" in node.get("Join Type", "")]
    assert joins
    assert "Nested Loop" not in joins


@pytest.mark.rows_by_hand
async def test_what_runs_made_is_looked_up_by_the_run(database: str) -> None:
    await make_past(database, 5_000)
    await rows(database, "update attempts set output_inline = null where run_id % 5 = 0")
    await rows(database, "vacuum (analyze) attempts")
    nodes = await plan_of(database, "stored_outputs", (list(range(1, 201)),))
    assert "attempts_by_output" not in set(indexes(nodes))


async def test_who_cleans_up_sends_for_no_helpers_however_much_they_are_wanted(history: str) -> None:
    connection = await connect(history, by_index=True)
    await connection.execute("set debug_parallel_query = on")
    told = await connection.fetchval(f"explain (format json) {sql('removable_runs')}", *ASKED["removable_runs"][0])
    await connection.close()
    [plan] = json.loads(told)
    assert not [node for node in steps(plan["Plan"]) if node["Node Type"].startswith("Gather")]


async def plan_of(dsn: str, name: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
    """The plan for these values: as the pool for reading asks, or as the connection that cleans up does."""
    if name in LOOKED_AT or name.startswith("story"):
        connection = await asyncpg.connect(dsn, server_settings=SESSION | FOR_READING)
    else:
        connection = await connect(dsn, by_index=True)
    try:
        row = await connection.fetchval(f"explain (format json) {sql(name)}", *arguments)
        [told] = json.loads(row)
        return list(steps(told["Plan"]))
    finally:
        await connection.close()
