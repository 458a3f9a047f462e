"""100,000 files that are there at start: told once each, in a memory that is bounded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COUNT = 100_000
# What one file may take while it is remembered, and all that is in flight: the queues, a batch, the threads.
BYTES_EACH = 400
IN_FLIGHT_MIB = 40
MOST_MIB = IN_FLIGHT_MIB + COUNT * BYTES_EACH / (1 << 20)


def listen(root: Path, wanted: int) -> tuple[float, int, str]:
    """How much a process that listens until `wanted` files were told grew, in MiB, how many it told of and the last."""
    command = [sys.executable, "-m", "tests.fault.many_files", str(root), str(wanted)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True, timeout=200
    )
    grown, told, last = done.stdout.split()
    return float(grown), int(told), last


@pytest.mark.timeout(400)
def test_a_hundred_thousand_files_at_start_take_a_bounded_memory_and_none_is_told_again(tmp_path: Path) -> None:
    for number in range(COUNT):
        folder = tmp_path / f"landing/{number // 1_000}"
        if number % 1_000 == 0:
            folder.mkdir(parents=True)
        (folder / f"{number}.csv").write_bytes(b"%d" % number)
    grown, told, _ = listen(tmp_path, COUNT)
    assert told == COUNT
    assert grown < MOST_MIB
    (tmp_path / "landing/new.csv").write_bytes(b"new")
    grown, told, last = listen(tmp_path, 1)
    assert (told, last) == (1, "landing/new.csv"), "a restart told files again"
    assert grown < MOST_MIB
