"""What the start page works out from rows, and answers that many share."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.glance import SHOWN_BATCHES, arrivals, batches, heard, latencies, mode, rates, share, totals
from service.api.shared import Shared
from triggers import Cron, Every, Files, KafkaArrivals, KafkaBatches, Manual, Webhook
from triggers.base import Fate


def row(trigger: str, waited_s: float | None = 0.1, count: Any = None) -> Any:
    batch = None if count is None else orjson.dumps({"data": {"count": count}})
    return {"pipeline": "p", "trigger": trigger, "waited_s": waited_s, "batch": batch}


def test_every_kind_of_trigger_is_of_one_mode() -> None:
    assert {mode(kind.kind) for kind in (Cron, Every)} == {"scheduled"}
    assert {mode(kind.kind) for kind in (Files, KafkaArrivals, Manual, Webhook)} == {"triggered"}
    streams = (KafkaBatches.kind, "kafka-stream", "kinesis-batches", "pulsar-batches")
    assert {mode(kind) for kind in streams} == {"continuous"}


def test_batches_are_told_oldest_first_and_only_the_latest() -> None:
    rows = [row("k", count=size) for size in range(100, 0, -1)]
    assert batches(rows) == {"p/k": list(range(100 - SHOWN_BATCHES + 1, 101))}
    assert batches([row("k"), row("k", count="x"), {**row("k"), "batch": b"{}"}]) == {}


def test_records_a_second_are_those_taken_since_the_oldest_batch() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [{**row("k", count=10), "queued_at": at + timedelta(seconds=second)} for second in (8, 4, 3)]
    assert rates(rows) == {"p/k": 20 / 5}
    assert rates(rows[:1]) == rates([]) == {}


def test_how_soon_stages_start_is_told_by_kind() -> None:
    triggers: Any = [{"name": "p/a", "kind": "files"}, {"name": "p/b", "kind": "files"}]
    rows = [row("a", 1.0), row("b", 3.0), row("b", None), row("manual", 0.5), row("replay:shadow", -0.1)]
    assert [(one.kind, one.runs, one.p50_s, one.p99_s) for one in latencies(rows, triggers)] == [
        ("files", 2, 1.0, 3.0),
        ("manual", 1, 0.5, 0.5),
        ("replay", 1, 0.0, 0.0),
    ]
    assert arrivals(rows) == {"p/a": 1, "p/b": 2, "p/manual": 1, "p/replay:shadow": 1}


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_share_is_a_value_below_which_so_many_lie(values: list[float], part: float) -> None:
    found = share(values, part)
    assert found in values
    assert sum(value <= found for value in values) >= part * len(values) - 1e-6


def test_unfinished_runs_are_counted_over_pipelines() -> None:
    found = totals({("a", "running"): (2, 1), ("b", "running"): (3, 0), ("b", "queued"): (4, 2)})
    assert found == {"running": 5, "waiting": 0, "queued": 4, "late": 3}


async def test_many_who_ask_at_once_share_an_answer() -> None:
    made = 0

    async def make() -> int:
        nonlocal made
        made += 1
        await asyncio.sleep(0)
        return made

    lasting, passing = Shared(60), Shared(-1)
    assert await asyncio.gather(*(lasting.of("a", make) for _ in range(9))) == [1] * 9
    assert await lasting.of("b", make) == 2
    assert [await passing.of("a", make), await passing.of("a", make)] == [3, 4]


async def test_an_answer_that_could_not_be_made_is_made_anew() -> None:
    tries = [ValueError("away"), None]

    async def make() -> str:
        if (wrong := tries.pop(0)) is not None:
            raise wrong
        return "made"

    shared = Shared(60)
    with pytest.raises(ValueError, match="away"):
        await shared.of("a", make)
    assert await shared.of("a", make) == "made"


def test_events_are_counted_by_kind_of_trigger_and_by_fate() -> None:
    found = heard({("manual", Fate.IGNORED): 1, ("webhook", Fate.COALESCED): 5, ("webhook", Fate.RAN): 2})
    assert [(one.kind, one.events) for one in found] == [("webhook", 7), ("manual", 1)]
    assert found[0].fates == [(Fate.RAN, 2), (Fate.COALESCED, 5)]
