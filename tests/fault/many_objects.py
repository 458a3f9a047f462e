"""A process that lists a bucket until it has told of so many objects: `many_files`, for buckets.

Arguments: a folder for positions, the address of the server, how many. Prints what its memory grew by at most in MiB,
how many objects it told of, and the subject of the last one.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.fault.many_files import DiskInbox, SystemClock, peak_mib
from triggers.base import Binding, Surroundings
from triggers.objects import Objects
from triggers.objects.listener import ObjectsListener


async def main(folder: Path, url: str, wanted: int) -> None:
    """List, and print."""
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    trigger = Objects("s3://bucket/**/*.csv", endpoint=url, region="eu-west-1", options=keys, poll_s=0.1)
    inbox = DiskInbox(folder / "positions.sqlite", wanted)
    listener = ObjectsListener([Binding("p", trigger)], Surroundings(inbox, SystemClock(), folder))
    before = peak_mib()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listener.run())
        await inbox.done.wait()
        running.cancel()
    print(peak_mib() - before, inbox.told, inbox.last)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
