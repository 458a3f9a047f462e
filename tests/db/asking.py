"""Pipelines to ask about, the command line as a program of its own, and every row of a database."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from service.app import Daemon
from stages.base import stage
from stages.limits import Concurrency, Rate
from stages.pipeline import Pipeline
from tests.db.api import Api
from tests.db.writing import rows
from triggers.approval import Approval
from triggers.base import KafkaAccess
from triggers.cloudevents import CloudEvents
from triggers.event import Event
from triggers.files import Files
from triggers.kafka import KafkaArrivals, KafkaBatches
from triggers.schedule import Cron, Every
from triggers.signatures import GitHub
from triggers.webhook import Webhook

# What a daemon says of itself while nothing happens, and of who asked.
BREATH = {"daemons", "trigger_statuses", "trigger_seen", "audit"}


class Months(BaseModel):
    """What `months` takes."""

    month: int = 1
    region: str = "all"


@stage
async def read(event: Event, params: Months) -> int:
    return params.month


@stage
async def count(event: Event) -> int:
    return 1


months = Pipeline(
    "months",
    [read],
    on=[
        CloudEvents(
            where={"type": "data.arrived", "subject": {"prefix": "fl"}, "data.month": {"any": [1, 2, 3]}},
            params={"month": "data.month", "region": "data.region"},
        ),
        KafkaArrivals("data.arrivals", where={"data.month": {"exists": True}}, params={"month": "data.month"}),
        Webhook("ci", verify=GitHub(secret="the secret of the hook"), where={"ref": "refs/heads/main"}),
        Files("landing/*.csv"),
        Cron("0 2 * * *"),
        Every("1h", enabled=False, name="hourly"),
    ],
    tags=["monthly"],
    priority=7,
)
keyed = Pipeline(
    "keyed",
    [count],
    on=[CloudEvents(where={"type": "data.arrived"}), KafkaBatches("data.arrivals")],
    concurrency=Concurrency("subject", policy="drop_new"),
    rate=Rate(runs=1, per_s=3600),
    max_running=4,
)
decided = Pipeline("decided", [count], on=[Approval(pipeline="months")])
# Nobody listens in these tests, so nobody is asked.
NO_BROKER = KafkaAccess("127.0.0.1:9")
PIPELINES = (months, keyed, decided)


def arrived(event_id: str, month: Any = 2, subject: str = "flights", **more: Any) -> dict[str, Any]:
    """A CloudEvent to which `months` listens."""
    about = {"source": "/lake", "type": "data.arrived", "subject": subject, "data": {"month": month}}
    return {"specversion": "1.0", "id": event_id, **about, **more}


async def tidemill(
    api: Api, *arguments: str, given: str = "", cwd: Path | None = None, token: str | None = None
) -> tuple[int, str, str]:
    """Run a command line as a process of its own: exit code, standard output, standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    environment |= {"TIDEMILL_URL": api.client.url, "LOGNAME": "kim"} | ({"TIDEMILL_API_TOKEN": token} if token else {})
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("tidemill")), *arguments),
        env=environment,
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(given.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def everything(daemon: Daemon) -> dict[str, list[str]]:
    """Every row of every table, but for what daemons say of themselves."""
    tables = await rows(daemon.dsn, "select tablename from pg_tables where schemaname = 'public' order by 1")
    names = [row["tablename"] for row in tables if row["tablename"] not in BREATH]
    assert {"events", "runs", "fates", "positions", "run_log"} <= set(names)
    return {
        name: [row["told"] for row in await rows(daemon.dsn, f'select t::text as told from "{name}" t order by 1')]
        for name in names
    }
