"""What the cells of the matrix run. Each stage leaves a line in a file that no fault touches."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stages import Event, Permanent, Pipeline, Retry, StageContext, SubRun, stage
from stages.artifacts import INLINE_LIMIT_BYTES
from stages.gates import approved
from stages.registry import NewVersion
from triggers import Approval, CloudEvents, Cron, Every, Files, KafkaArrivals, Webhook

FOLDER = Path(os.environ.get("TEST_FOLDER", "."))
TOPIC = os.environ.get("TEST_TOPIC", "matrix")
MODEL = "matrix"
# A fault may cost an attempt some tries; none may be the reason that a run fails.
patient = Retry(max_attempts=100, initial_s=0.05, max_delay_s=0.3)


def note(context: StageContext, detail: str = "") -> None:
    """This attempt did its work."""
    line = f"{context.run_id} {context.pipeline} {context.stage} {context.idempotency_key} {os.getpid()} {detail}\n"
    with (FOLDER / "effects").open("a") as file:
        file.write(line)


@stage(retry=patient, reuse="run")
async def take(event: Event, context: StageContext) -> str:
    note(context)
    return event.id


@stage(retry=patient, reuse="run")
async def make(take: str, context: StageContext) -> str:
    """What it returns is too large for a row."""
    context.logger.info("making %s", take)
    context.progress(0.5, "half")
    note(context)
    return take.ljust(INLINE_LIMIT_BYTES, ".")


@stage(retry=patient)
async def publish(make: str, context: StageContext) -> int:
    """What it returns may be known already."""
    note(context)
    return len(make)


@stage(retry=patient, reuse="run", runner="process")
def crunch(event: Event, context: StageContext) -> str:
    note(context)
    return event.id


@stage(retry=patient, reuse="run", environment=str(Path(__file__).parents[2] / "contract" / "requirements-six.lock"))
def pack(event: Event, context: StageContext) -> str:
    """In a process of its own, with packages of its own."""
    note(context)
    return event.id


@stage(retry=patient, reuse="run")
async def chatter(event: Event, context: StageContext) -> str:
    """What it tells is too much for rows."""
    for number in range(1500):
        context.logger.info("%s %s", number, "." * 1000)
    note(context)
    return event.id


@stage(retry=patient, reuse="run")
async def breaks(event: Event, context: StageContext) -> str:
    if not (FOLDER / "mended").exists():
        raise Permanent("it is broken")
    note(context)
    return event.id


@stage(retry=patient, reuse="run")
async def holds(event: Event, context: StageContext) -> str:
    (FOLDER / "held").touch()
    while not (FOLDER / "released").exists():
        await asyncio.sleep(0.01)
    note(context)
    return event.id


@stage(retry=patient, reuse="run")
async def lasts(event: Event, context: StageContext) -> str:
    await asyncio.sleep(0.7)
    note(context)
    return event.id


@stage(retry=patient, reuse="run")
async def ask(event: Event, context: StageContext) -> SubRun:
    note(context)
    return SubRun("child", data=event.data)


@stage(retry=patient, reuse="run")
async def tell(event: Event, context: StageContext) -> str:
    context.emit("matrix.told", {"n": event.id})
    note(context)
    return event.id


@stage(retry=patient, reuse="run")
async def register(make: str, context: StageContext) -> int:
    assert context.registry is not None
    artifacts = {"model": context.artifact_digests["make"]}
    new = NewVersion(model=MODEL, artifacts=artifacts, run_id=context.run_id, pipeline=context.pipeline)
    made = await context.registry.register(new, idempotency_key=context.idempotency_key)
    note(context)
    return made.version


@stage(retry=patient, reuse="run")
async def deploy(register: int, context: StageContext) -> int:
    assert context.registry is not None
    there = await context.registry.alias(MODEL, "production")
    if there is None or there.version != register:
        await context.registry.move_alias(MODEL, "production", register, expect=there.version if there else None)
    note(context)
    return register


def length(model: str, payload: object) -> int:
    """Serves `models`."""
    return len(model)


@stage(retry=patient, reuse="run")
async def listed(event: Event, context: StageContext) -> list[int]:
    note(context)
    return [1, 2, 3]


class Params(BaseModel):
    """What an item is made with."""

    k: int = 1


@stage(map="listed", retry=patient, reuse="run")
async def each(listed: int, params: Params, context: StageContext) -> int:
    if listed == 2 and not (FOLDER / "mended").exists():
        raise Permanent("it is broken")
    note(context)
    return listed


def hears(kind: str) -> CloudEvents:
    """Events of a kind of this test."""
    return CloudEvents(where={"type": f"matrix.{kind}"})


def chain(name: str, *on: Any, **more: Any) -> Pipeline:
    """Three stages."""
    return Pipeline(name, [take, make, publish], on=list(on), **more)


flow = chain("flow", hears("flow"), Webhook("matrix"))
worked = Pipeline("worked", [crunch], on=[hears("worked")])
chatty = Pipeline("chatty", [chatter], on=[hears("chatty")])
recorded = chain("recorded", KafkaArrivals(TOPIC))
lettered = chain("lettered", KafkaArrivals(TOPIC, dead_letter=f"{TOPIC}-dead"))
framed = chain("framed", KafkaArrivals(TOPIC, value="registry"))
landed = chain("landed", Files("landing/*.csv", complete="rename"))
ticked = Pipeline("ticked", [take], on=[Every(1, missed="all")])
decided = chain("decided", hears("decided"), gates={("make", "publish"): approved(by="anybody")})
expired = chain("expired", hears("expired"), gates={("make", "publish"): approved(by="anybody", expires_s=0.3)})
followed = Pipeline("followed", [take], on=[Approval(pipeline="decided")])
broken = Pipeline("broken", [breaks], on=[hears("broken")])
mapped = Pipeline("mapped", [listed, each], on=[hears("mapped")])
slow = Pipeline("slow", [lasts], on=[hears("slow")])
endless = Pipeline("endless", [holds], on=[hears("endless")])
packaged = Pipeline("packaged", [pack], on=[hears("packaged")])
daily = Pipeline("daily", [take], on=[Cron("0 2 * * *", name="nightly")])
parent = Pipeline("parent", [ask], on=[hears("parent")])
child = Pipeline("child", [take])
teller = Pipeline("teller", [tell], on=[hears("teller")])
told = Pipeline("told", [take], on=[CloudEvents(where={"type": "matrix.told"})])
models = Pipeline("models", [take, make, register, deploy], on=[hears("models")], serve=length)
