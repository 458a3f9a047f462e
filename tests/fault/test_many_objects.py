"""A bucket of 200,000 objects: told once each, remembered in a few bytes each, listed a thousand keys at a time."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract.s3_server import Bucket, Stored, serving

COUNT = 200_000
# Eight bytes to remember an object by, times what it takes to sort them anew, and all that is in flight.
BYTES_EACH = 64
IN_FLIGHT_MIB = 30
MOST_MIB = IN_FLIGHT_MIB + COUNT * BYTES_EACH / (1 << 20)


def listen(folder: Path, url: str, wanted: int) -> tuple[float, int, str]:
    """How much a process that lists until `wanted` objects were told grew, how many it told of, and the last."""
    command = [sys.executable, "-m", "tests.fault.many_objects", str(folder), url, str(wanted)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True, timeout=200
    )
    grown, told, last = done.stdout.split()
    return float(grown), int(told), last


class Sorted(Bucket):
    """A bucket that is not sorted anew for each page."""

    def after(self, after: str, prefix: str) -> list[str]:
        """The keys of the next page, and one more where there is one."""
        from bisect import bisect_right

        at = bisect_right(self.keys, after)
        return self.keys[at : at + self.page + 1]

    keys: list[str]


@pytest.mark.timeout(400)
def test_a_large_bucket_takes_a_bounded_memory_and_a_restart_tells_nothing_again(tmp_path: Path) -> None:
    bucket = Sorted()
    bucket.keys = [f"landing/{number:07}.csv" for number in range(COUNT)]
    made = Stored(b"x", "0" * 32, 1, datetime.now(UTC))
    bucket.objects = dict.fromkeys(bucket.keys, made)
    with serving(bucket):
        grown, told, _ = listen(tmp_path, bucket.url, COUNT)
        assert told == COUNT
        assert grown < MOST_MIB
        assert len(bucket.lists) < COUNT / bucket.page + 10, "a listing was begun anew"
        bucket.keys.append("landing/new.csv")
        bucket.put("landing/new.csv")
        grown, told, last = listen(tmp_path, bucket.url, 1)
        assert (told, last) == (1, "landing/new.csv")
        assert grown < MOST_MIB
