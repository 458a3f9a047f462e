"""Accepting is one transaction: an event once, a run once, a position only where it stood."""

from __future__ import annotations

import asyncio

import pytest

from service.db.accept import Accept, Accepted
from service.errors import ServiceError
from tests.db.writing import accept, event_row, refuse, rows, writing
from triggers.base import Fate, Position
from triggers.errors import PositionMoved


async def test_an_event_starts_one_run_in_each_pipeline(database: str) -> None:
    async with writing(database) as writer:
        [answer] = await writer.submit(accept("1", "a", "b"))
    assert len(answer.new_events) == 1
    assert sorted(pipeline for _, pipeline in answer.new_runs) == ["a", "b"]
    assert [row["state"] for row in await rows(database, "select state from runs")] == ["queued", "queued"]


async def test_a_repeat_answers_with_the_first_run(database: str) -> None:
    async with writing(database) as writer:
        [first] = await writer.submit(accept("1", "a"))
        [again] = await writer.submit(accept("1", "a"))
    key = event_row("1").key
    assert again.new_events == frozenset()
    assert again.new_runs == {}
    assert again.outcomes == first.outcomes
    assert first.outcomes[key][0].run_id == first.new_runs[key, "a"]


async def test_repeats_in_one_flush_are_one_run_and_the_first_one_has_it(database: str) -> None:
    async with writing(database) as writer:
        answers = await asyncio.gather(*(writer.submit(accept("1", "a")) for _ in range(5)))
    accepted = [answer for [answer] in answers]
    assert [len(one.new_runs) for one in accepted] == [1, 0, 0, 0, 0]
    assert len({one.outcomes[event_row("1").key][0].run_id for one in accepted}) == 1


async def test_two_processes_that_hear_of_one_event_start_one_run(database: str) -> None:
    async with writing(database) as one, writing(database) as other:
        answers = await asyncio.gather(
            *(writer.submit(accept(str(n), "a")) for n in range(200) for writer in (one, other))
        )
    assert sum(len(answer.new_runs) for [answer] in answers) == 200
    assert len(await rows(database, "select from runs")) == 200


async def test_another_pipeline_hears_of_a_known_event_and_runs(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        [answer] = await writer.submit(accept("1", "b"))
    assert [pipeline for _, pipeline in answer.new_runs] == ["b"]
    assert answer.new_events == frozenset()


async def test_an_event_that_starts_nothing_keeps_its_fate_and_reason(database: str) -> None:
    async with writing(database) as writer:
        [answer] = await writer.submit(refuse("1", "a", Fate.DEAD, "params: month is missing"))
        [again] = await writer.submit(refuse("1", "a", Fate.IGNORED, "another reason"))
    [outcome] = answer.outcomes[event_row("1").key]
    assert (outcome.fate, outcome.reason, outcome.run_id) == (Fate.DEAD, "params: month is missing", None)
    assert list(again.outcomes.values()) == [[outcome]]


async def test_an_event_one_trigger_ignored_may_still_run_by_another(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(refuse("1", "a", Fate.IGNORED))
        [answer] = await writer.submit(accept("1", "a"))
    assert len(answer.new_runs) == 1
    assert [row["fate"] for row in await rows(database, "select fate from outcomes")] == ["ran"]


async def test_an_event_that_is_dead_stays_dead(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(refuse("1", "a", Fate.DEAD))
        [answer] = await writer.submit(accept("1", "a"))
    assert answer.new_runs == {}
    assert await rows(database, "select from runs") == []


async def test_a_position_moves_only_from_where_the_reader_saw_it(database: str) -> None:
    def batch(first: str, following: str) -> Position:
        return Position("kafka:c:g", "topic/0", following, expect=first)

    async with writing(database) as writer:
        [start] = await writer.submit(accept("1", "a", position=batch("", "100")))
        with pytest.raises(PositionMoved):
            await writer.submit(accept("2", "a", position=batch("", "50")))
        with pytest.raises(PositionMoved):
            await writer.submit(accept("3", "a", position=batch("90", "200")))
        [following] = await writer.submit(accept("4", "a", position=batch("100", "200")))
    assert isinstance(start, Accepted)
    assert len(following.new_runs) == 1
    assert [row["id"] for row in await rows(database, "select id from events order by seq")] == ["1", "4"]
    assert [row["value"] for row in await rows(database, "select value from positions")] == ["200"]


async def test_a_moved_position_refuses_only_its_own_events(database: str) -> None:
    stale = accept("1", "a", position=Position("s", "k", "5", expect="4"))
    async with writing(database) as writer:
        answers = await asyncio.gather(writer.submit(stale), writer.submit(accept("2", "a")), return_exceptions=True)
    assert isinstance(answers[0], PositionMoved)
    assert len(await rows(database, "select from runs")) == 1


async def test_two_moves_of_one_position_in_one_flush_do_not_both_hold(database: str) -> None:
    def first_move(event_id: str, value: str) -> Accept:
        return accept(event_id, "a", position=Position("kafka:c:g", "topic/0", value, expect=""))

    async with writing(database) as writer:
        answers = await asyncio.gather(
            writer.submit(first_move("1", "100")), writer.submit(first_move("2", "50")), return_exceptions=True
        )
    assert [type(answer) for answer in answers] == [list, PositionMoved]
    assert [row["value"] for row in await rows(database, "select value from positions")] == ["100"]
    assert len(await rows(database, "select from runs")) == 1


async def test_positions_without_an_expectation_are_put_where_they_are_told(database: str) -> None:
    async with writing(database) as writer:
        for value in ("1", "2"):
            await writer.submit(accept(value, position=Position("files", "a.csv", value)))
    assert [row["value"] for row in await rows(database, "select value from positions")] == ["2"]


async def test_what_the_database_refuses_fails_alone(database: str) -> None:
    async with writing(database) as writer:
        poison = accept("bad\0id", "a")
        answers = await asyncio.gather(
            *(writer.submit(accept(str(n), "a")) for n in range(10)),
            writer.submit(poison),
            *(writer.submit(accept(str(n), "a")) for n in range(10, 20)),
            return_exceptions=True,
        )
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert [type(error) for error in refused] == [ServiceError]
    assert len(await rows(database, "select from runs")) == 20


async def test_taken_runs_belong_to_the_process_that_accepted_them(database: str) -> None:
    started: list[int] = []
    taken = accept("1", "a", take=True)
    taken.started = lambda runs: started.extend(runs.values())
    async with writing(database) as writer:
        [answer] = await writer.submit(taken)
        [row] = await rows(database, "select id, state, epoch, owner from runs")
        assert (row["state"], row["epoch"], row["owner"]) == ("running", 1, writer.daemon)
    assert started == list(answer.new_runs.values()) == [row["id"]]


async def test_a_position_that_is_told_to_be_nothing_is_kept_no_more(database: str) -> None:
    async with writing(database) as writer:
        for key in ("a.csv", "b.csv"):
            await writer.submit(accept(key, "a", position=Position("files", key, "1")))
        await writer.submit(Accept([], [], [], [Position("files", "a.csv", ""), Position("files", "never.csv", "")]))
    assert [row["key"] for row in await rows(database, "select key from positions")] == ["b.csv"]
