"""A Faust agent over a topic: `python -m benchmarks.streamers.faust_agent SERVERS TOPIC RECORDS` says how long it took.

It takes up to a thousand records at a time, which is the quickest of what Faust offers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import tempfile
import time
import uuid
from typing import Any

import faust


async def main(servers: str, topic: str, records: int, folder: str) -> None:
    """From the first batch handed to the agent to the last record. What Faust keeps goes into `folder`."""
    app = faust.App(
        f"faust-{uuid.uuid4()}",
        broker=f"kafka://{servers}",
        value_serializer="json",
        datadir=folder,
        loop=asyncio.get_running_loop(),
        web_enabled=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=4.0,
        broker_heartbeat_interval=1.0,
    )
    over = asyncio.Event()
    seen = total = before = 0
    begun = ended = used_s = 0.0

    @app.agent(app.topic(topic))
    async def add(stream: Any) -> None:
        nonlocal seen, total, begun, ended, used_s, before
        async for values in stream.take(1000, within=0.5):
            if not seen:
                begun, used_s, before = time.perf_counter(), time.process_time(), len(values)
            seen += len(values)
            total += sum(value["n"] for value in values)
            if seen >= records and not ended:
                ended, used_s = time.perf_counter(), time.process_time() - used_s
                over.set()

    await app.start()
    async with asyncio.timeout(120):
        await over.wait()
    print(json.dumps({"units": seen - before, "seconds": ended - begun, "cpu_s": used_s}), flush=True)
    await app.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="tidemill-bench-") as name:
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), name))
