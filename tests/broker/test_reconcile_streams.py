"""Streams against the inbox: a record below a position that is in no batch, or in no window's event, is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.pipeline import Pipeline
from tests.broker.seam import access_to, produce
from tests.broker.test_reconcile import ROLES, accepted, compared, count, lose, missing
from tests.contract.streams import CREDENTIALS, kinesis_stream
from tests.db.api import api
from tests.db.writing import rows
from triggers import KinesisBatches, StreamFeatures
from triggers.base import Binding
from triggers.stream.aggregates import Count

SECOND = "key = (select key from events order by accepted_at, seq offset 1 limit 1)"


@pytest.mark.rows_by_hand
async def test_records_of_a_kinesis_batch_that_is_gone(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with kinesis_stream() as stream:
        trigger = stream.trigger(max_records=4, max_wait_s=0.3)
        assert isinstance(trigger, KinesisBatches)
        pipeline = Pipeline("batched", [count], on=[trigger])
        await stream.write([b'{"n": %d}' % number for number in range(8)])
        async with api(database, tmp_path, *ROLES, pipelines=(pipeline,)) as one:
            await accepted(one.daemon, 2)
            clean = await compared(one)
            [shape] = clean["triggers"]
            assert (clean["differences"], shape["checked"], shape["error"]) == (0, 2, "")
            assert [note.rpartition(", ")[2] for note in shape["notes"]] == ["lag 0"]
            await stream.write([b'{"n": 8}'])
            await accepted(one.daemon, 3)
            scope = f"{trigger.kind}:%:{Binding('batched', trigger).name}"
            [position] = await rows(database, "select value from positions where scope like $1", scope)
            await lose(one.daemon, SECOND)
            found = await compared(one)
            assert len(missing(found)) == found["differences"] == 4
            assert all(what.endswith(f"of {stream.name}/shardId-000000000000") for what in missing(found))
            [again] = await rows(database, "select value from positions where scope like $1", scope)
            assert again == position


async def test_what_waits_in_a_stream_that_nobody_has_read_is_told(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    async with kinesis_stream() as stream:
        pipeline = Pipeline("batched", [count], on=[stream.trigger(max_records=4)])
        await stream.write([b"{}"] * 45)
        async with api(database, tmp_path, pipelines=(pipeline,)) as one:
            [shape] = (await compared(one))["triggers"]
    assert (shape["checked"], shape["differences"], shape["error"]) == (0, 0, "")
    assert shape["notes"] == ["shardId-000000000000: not read yet, 45 records wait"]


@pytest.mark.rows_by_hand
async def test_records_of_a_window_whose_event_is_gone(kafka: str, topic: str, database: str, tmp_path: Path) -> None:
    trigger = StreamFeatures(
        topic,
        "data.k",
        aggregates={"n": Count()},
        window_s=10,
        grace_s=0,
        time="data.t",
        idle_s=None,
        flush_every_s=0.05,
    )
    pipeline = Pipeline("windowed", [count], on=[trigger])
    times = [1, 2, 11, 12, 3, 21, 22, 31]
    values = [b'{"k": "a", "t": "2026-01-01T00:00:%02dZ"}' % second for second in times]
    await produce(kafka, topic, [*values[:6], b"no JSON", *values[6:]])
    async with api(database, tmp_path, *ROLES, pipelines=(pipeline,), kafka=access_to(kafka)) as one:
        # Three windows have closed; one record came too late for the first, one cannot be read.
        await accepted(one.daemon, 5)
        clean = await compared(one)
        [shape] = clean["triggers"]
        assert (clean["differences"], shape["checked"], shape["error"]) == (0, 3, "")
        assert f"{topic}/0: at 9 of 9, lag 0" in shape["notes"]
        told = "1 records in windows that are open, 1 were too late, 1 could not be read"
        assert f"{topic}/0: {told}" in shape["notes"]
        window = "convert_from(envelope, 'UTF8')::jsonb -> 'data' ->> 'window_start' = '2026-01-01T00:00:10Z'"
        await lose(one.daemon, window)
        found = await compared(one)
        assert missing(found) == [f"record {offset} of {topic}/0" for offset in (2, 3)]
