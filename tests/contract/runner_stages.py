"""Stages for the contract of runners, importable by name from wherever a runner runs them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel

from stages import ArtifactRef, Event, Pipeline, Records, StageContext, Transient, stage
from stages.registry import AliasMoved, NewVersion

WORKED_S, HELD_BYTES = 0.6, 80_000_000
SPIN = "import time\nuntil = time.process_time() + {}\nwhile time.process_time() < until: pass"


class Params(BaseModel):
    n: int = 1


class Said(BaseModel):
    """What a stage was given."""

    event: str
    n: int
    run_id: int
    attempt: int
    key: str
    digests: dict[str, str]


@stage
def source() -> list[int]:
    return [1, 2, 3]


@stage
async def on_the_loop(source: list[int]) -> int:
    await asyncio.sleep(0)
    return sum(source)


@stage
def works() -> int:
    """Half of the CPU time in a process that it starts; and memory that is let go of."""
    held = bytes(bytearray(HELD_BYTES))
    subprocess.run([sys.executable, "-ISc", SPIN.format(WORKED_S / 2)], check=True)
    until = time.process_time() + WORKED_S / 2
    while time.process_time() < until:
        pass
    return len(held)


@stage
def in_a_thread(source: list[int]) -> int:
    source.append(100)
    return len(source)


@stage
def told(source: list[int], event: Event, params: Params, context: StageContext) -> Said:
    context.record_metrics(n=params.n, half=0.5)
    context.progress(0.5, "half")
    return Said(
        event=event.id,
        n=params.n,
        run_id=context.run_id,
        attempt=context.attempt,
        key=context.idempotency_key,
        digests=dict(context.artifact_digests),
    )


@stage
def large() -> pl.DataFrame:
    return pl.DataFrame({"n": range(5_000)})


@stage
def batch(records: Records) -> list[Any]:
    return records.json()


@stage
def written(context: StageContext) -> Path:
    file = context.folder() / "result.txt"
    file.write_text("written\n" * 2_000)
    return file


@stage
def read(written: Path) -> dict[str, Any]:
    return {"name": written.name, "lines": len(written.read_text().splitlines()), "folder": str(written.parent)}


@stage
def broken() -> None:
    raise ValueError("broken for good")


@stage
async def busy() -> None:
    raise Transient("busy", retry_after_s=3)


@stage
def leaves() -> None:
    sys.exit(3)


@stage
def stops() -> None:
    raise StopIteration


@stage
async def hangs() -> None:
    await asyncio.Event().wait()


@stage
def overruns() -> None:
    time.sleep(0.2)


@stage
def unstorable() -> object:
    return object()


@stage
async def measured_then_failed(context: StageContext) -> None:
    context.record_metrics(n=1)
    raise KeyError("n")


@stage
def logs(context: StageContext) -> None:
    context.logger.warning("mine: %s", "é\udcff")
    try:
        raise ValueError("told")
    except ValueError:
        logging.getLogger("a.library").exception("a library's")


@stage
def hides(context: StageContext) -> None:
    context.mask("hunter22")
    context.mask("\udcff")


@stage
def frame() -> pl.DataFrame:
    return pl.DataFrame({"n": [1, 2]})


@stage
def estimator() -> Any:
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit([[0.0], [2.0]])


@stage
def raw() -> bytes:
    return b"\0\xff"


@stage
def array() -> np.ndarray:
    return np.arange(3)


@stage
def all_kinds(frame: pl.DataFrame, estimator: Any, raw: bytes, array: np.ndarray, written: Path) -> list[Any]:
    return [frame["n"].to_list(), estimator.mean_.tolist(), raw.hex(), array.tolist(), written.stat().st_size]


@stage
def loops_of_its_own(source: list[int]) -> int:
    return asyncio.run(on_the_loop(source))


@stage
async def registers(event: Event, context: StageContext) -> list[Any]:
    """Register, move the alias twice: the second move has seen what is no longer there."""
    new = NewVersion(model="m", artifacts={"model": "d"}, metrics={"r2": 0.5}, run_id=context.run_id)
    version = await context.registry.register(new, idempotency_key=context.idempotency_key)
    before = await context.registry.alias("m", "production")
    await context.registry.move_alias("m", "production", version.version, expect=None)
    after = await context.registry.alias("m", "production")
    try:
        await context.registry.move_alias("m", "production", 9, expect=None)
    except AliasMoved as error:
        return [version.version, version.metrics, before, after is not None and after.model, str(error)]
    return []


@stage
async def registers_in_shadow(event: Event, context: StageContext) -> list[Any]:
    new = NewVersion(model="m", artifacts={"model": "d"}, run_id=context.run_id)
    version = await context.registry.register(new, idempotency_key=context.idempotency_key)
    await context.registry.move_alias("m", "production", version.version, expect=None)
    context.emit("told")
    return [context.shadow, version.version]


@stage
async def asks_too_much(context: StageContext) -> None:
    await context.registry.alias("no such model", "production")


@stage
def refers(source: ArtifactRef, frame: ArtifactRef | None) -> list[Any]:
    return [source.digest, source.size_bytes, frame is not None and frame.codec]


pipeline = Pipeline(
    "contract",
    [
        source,
        on_the_loop,
        in_a_thread,
        works,
        told,
        large,
        batch,
        written,
        read,
        broken,
        busy,
        leaves,
        stops,
        hangs,
        overruns,
        unstorable,
        measured_then_failed,
        logs,
        hides,
        frame,
        estimator,
        raw,
        array,
        all_kinds,
        loops_of_its_own,
        registers,
        asks_too_much,
        registers_in_shadow,
        refers,
    ],
)
SPEC = f"{__name__}:pipeline"
