"""Acts whose daemons do not all load the same code: it changes between them."""

from __future__ import annotations

import asyncio
import signal

from tests.fault.matrix.cell import Acting

LINE = """
import os

from stages import Event, Pipeline, StageContext, stage
from triggers import CloudEvents


def note(context: StageContext) -> None:
    with open(os.path.join(os.environ["TEST_FOLDER"], "effects"), "a") as file:
        file.write(f"{context.run_id} line {context.stage} {context.idempotency_key}\\n")


@stage(reuse="run")
async def cut(event: Event, context: StageContext) -> int:
    context.emit("matrix.cut", {"n": SIZE})
    note(context)
    return SIZE


line = Pipeline("line", [cut], on=[CloudEvents(where={"type": "matrix.line"})])
"""


async def of_an_earlier_version(acting: Acting) -> None:
    """A daemon that keeps the code of its version, and leaves; then the code changes."""
    (acting.folder / "line.py").write_text(LINE.replace("SIZE", "1"))
    one = await acting.daemon()
    await acting.tell("line")
    await acting.run_of("line", "succeeded")
    await acting.until("select count(*) > 0 from pipelines where code is not null")
    one.signal(signal.SIGTERM)
    await one.ended()
    (acting.folder / "line.py").write_text(LINE.replace("SIZE", "22"))
    acting.urls.clear()


async def on_its_version(acting: Acting) -> None:
    """Replayed in shadow on the version it ran on."""
    version = await acting.until("select version from runs where id = 1")
    asked = {"by": "kim", "event": "1", "pipeline": "line", "on": version, "reuse": False, "id": "again"}
    await acting.call("POST", "/api/v1/replays", asked)
    await acting.until("select count(*) > 1 from runs where state in ('succeeded', 'failed')")


async def of_a_lost_version(acting: Acting) -> None:
    """The same, and the code that was kept has gone."""
    await of_an_earlier_version(acting)
    code = str(await acting.until("select code from pipelines where code is not null limit 1"))
    for file in (acting.folder / "store").rglob(f"*{code[-32:]}*"):
        file.unlink()


LISTED = """
import asyncio

from stages import Event, Pipeline, StageContext, stage
from tests.fault.matrix.pipelines import FOLDER, note, patient
from triggers import CloudEvents


@stage(retry=patient, reuse="run")
async def listed(event: Event, context: StageContext) -> list[int]:
    note(context)
    return [1, 2]


@stage(map="listed", retry=patient, reuse="run", at_once=1)
async def each(listed: int, context: StageContext) -> int:
    note(context)
    while listed == 2 and not (FOLDER / "released").exists():
        (FOLDER / "held").touch()
        await asyncio.sleep(0.01)
    return listed * SIZE


line = Pipeline("line", [listed, each], on=[CloudEvents(where={"type": "matrix.line"})])
"""


async def in_the_middle_of_a_list(acting: Acting) -> None:
    """A daemon died when it had made one of two items, and the code of items is another since."""
    (acting.folder / "line.py").write_text(LISTED.replace("SIZE", "1"))
    one = await acting.daemon()
    await acting.tell("line")
    while not (acting.folder / "held").exists():
        await asyncio.sleep(0.01)
    await acting.until("select count(*) > 0 from attempts where item = 0 and state = 'succeeded'")
    one.signal(signal.SIGKILL)
    await one.ended()
    (acting.folder / "line.py").write_text(LISTED.replace("SIZE", "22"))
    (acting.folder / "released").touch()
    acting.urls.clear()


async def listed(acting: Acting) -> None:
    await acting.run_of("line", "succeeded")
