"""Quix Streams over a topic: `python quix.py SERVERS TOPIC RECORDS` says how long it took, as JSON.

Runs in a Python of its own, with the packages of quix.lock and nothing of ours.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any

from quixstreams import Application


def main(servers: str, topic: str, records: int) -> None:
    """From the first record handed to the function to the last."""
    seen = total = 0
    begun = ended = used_s = 0.0

    def add(value: dict[str, Any]) -> None:
        nonlocal seen, total, begun, ended, used_s
        if not seen:
            begun, used_s = time.perf_counter(), time.process_time()
        seen += 1
        total += value["n"]
        if seen == records:
            ended, used_s = time.perf_counter(), time.process_time() - used_s

    app = Application(
        broker_address=servers,
        consumer_group=f"quix-{uuid.uuid4()}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="WARNING",
    )
    frame = app.dataframe(app.topic(topic, value_deserializer="json"))
    frame.update(add)
    app.run(count=records, timeout=60)
    if seen < records:
        sys.exit(f"Quix Streams saw {seen} of {records} records")
    print(json.dumps({"units": seen, "seconds": ended - begun, "cpu_s": used_s}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
