"""Runs one stage without a database, for `tidemill stage run`."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from service.catalogue import load_catalogue
from service.kafka_access import kafka_access
from service.settings import Settings
from stages.call import WHOLE, Call
from stages.code_root import import_from
from stages.errors import CodeChanged, InvalidCall
from stages.invoke import invoke
from stages.mapped import each
from stages.outcome import Outcome
from stages.pipeline import Pipeline, load
from stages.plan import PlanStage
from stages.problems import nearest
from stages.registry import Registry
from stages.runners.base import Report, timed_out
from stages.stores import open_store
from stages.workers.lent import unpack_records
from stages.workers.limits import bounded
from triggers.base import AnyRange, Record, RecordReader


def find_pipeline(settings: Settings, given: str) -> Pipeline:
    """The pipeline `package.module:name`, or the one of that name among the configured ones.

    Raises `InvalidPipeline` or `NotFound`.
    """
    import_from(settings.root)
    return load(given) if ":" in given else load_catalogue(settings.pipelines).pipeline(given)


def find_stage(pipeline: Pipeline, name: str) -> PlanStage:
    """A stage by its name. Raises `InvalidCall` naming those there are."""
    stages = pipeline.plan.stages
    if name not in stages:
        known = ", ".join(stages)
        raise InvalidCall(
            f"pipeline {pipeline.name} has no stage {name!r}; it has {known}{nearest(name, list(stages))}"
        )
    return stages[name]


def check_call(call: Call, pipeline: Pipeline, stage: PlanStage) -> None:
    """Raises `InvalidCall` where the call is for something else."""
    if call.pipeline not in (pipeline.name, pipeline.spec) or call.stage != stage.name:
        raise InvalidCall(f"the call is for {call.pipeline} {call.stage}, not for {pipeline.name} {stage.name}")


def check_code(code: str | None, stage: PlanStage) -> None:
    """Raises `CodeChanged` where the caller, of the same version of Python, knows the stage by another digest.

    `code` is `VERSION:DIGEST`. Another version of Python reads the same code as another digest.
    """
    version, _, digest = (code or "").partition(":")
    if version == f"{sys.version_info.major}.{sys.version_info.minor}" and digest != stage.code_digest:
        raise CodeChanged(
            f"the code of stage {stage.name!r} is not what the daemon loaded: the files of {stage.spec} have changed "
            f"since; restart the daemon"
        )


class _Read:
    """Records that the daemon has read, in a file of `stages.commands.attempt`."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def read(self, offsets: AnyRange) -> Sequence[Record]:
        """See `RecordReader`."""
        head, _, body = self._file.read_bytes().partition(b"\n")
        return unpack_records(offsets, orjson.loads(head), body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """What an attempt is made with. `records` is a file of those that were read for it.

    `hide` learns what the stage hides.
    """

    registry: Registry | None
    report: Report
    hide: Callable[[str], None]
    records: Path | None = None


async def run_stage(
    settings: Settings, stage: PlanStage, call: Call, lent: Lent, executor: Executor, stopping: threading.Event
) -> Outcome:
    """Make the attempt in this process. Raises `StoreUnavailable` and `ConfigError`."""
    async with AsyncExitStack() as stack:
        reader: RecordReader | None = None if lent.records is None else _Read(lent.records)
        if reader is None and stage.takes_records and (kafka := kafka_access(settings)):
            from triggers.kafka.range_reader import RangeReader

            reader = ranges = RangeReader(kafka)
            stack.push_async_callback(ranges.close)
        store = open_store(settings.artifacts.url)

        async def make(one: Call) -> Outcome:
            return await invoke(
                bounded(stage),
                one,
                store,
                registry=lent.registry,
                reader=reader,
                report=partial(lent.report, one),
                executor=executor,
                mask=lent.hide,
                stopping=stopping,
            )

        whole = stage.stage.map is not None and call.item == WHOLE and stage.stage.map in call.inputs
        try:
            async with asyncio.timeout(call.timeout_s):
                return await (each(stage, call, store, make) if whole else make(call))
        except TimeoutError:
            return timed_out(call.timeout_s)
