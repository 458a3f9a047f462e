"""Every fault point, and everything that can break there: `python -m tests.fault.matrix`.

python -m tests.fault.matrix                       (all of it: about a quarter of an hour)
python -m tests.fault.matrix --only accept crash   (cells with all of these words in their names)
python -m tests.fault.matrix --some 40 --seed 7    (so many, drawn from a seed)
python -m tests.fault.matrix --list                (tells which there are, and why others make no sense)
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.fault.matrix.table import Place, places
from tests.fault.matrix.whole import Told, run_all

LANES = 3


def main() -> None:
    """Read the arguments and run; exits with 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="words in the names of cells")
    parser.add_argument("--some", type=int, help="so many cells")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=LANES, help="so many at once, each with servers of its own")
    parser.add_argument("--list", action="store_true", help="only tell")
    given = parser.parse_args()
    chosen = [one for one in places() if all(word in f"{one.point} {one.kind}" for word in given.only)]
    makes_sense = [one for one in chosen if not one.why_not]
    if given.some is not None:
        makes_sense = random.Random(given.seed).sample(makes_sense, min(given.some, len(makes_sense)))
    if given.list:
        print(*(f"{one.point}, {one.kind}: {one.why_not or one.recipe.name}" for one in chosen), sep="\n")
        return
    sys.exit(_run(makes_sense, given.lanes, Counter(one.why_not for one in chosen if one.why_not)))


def _run(cells: Sequence[Place], lanes: int, left_out: Counter[str]) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tidemill-matrix-", dir=_quick()) as folder:
        outcomes = asyncio.run(run_all(cells, Path(folder), lanes, _say))
    wrong = [one for one in outcomes if one.wrong]
    for why, count in left_out.items():
        print(f"{count:5} cells make no sense: {why}")
    by_kind = Counter(one.kind for one in outcomes)
    print(*(f"{count:5} cells of {kind}" for kind, count in by_kind.items()), sep="\n")
    print(*(f"WRONG: {one.point}, {one.kind}: {one.wrong}" for one in wrong), sep="\n")
    print(f"{len(outcomes)} cells in {time.monotonic() - began:.0f} s, {len(wrong)} of them wrong")
    return bool(wrong)


def _say(told: Told) -> None:
    verdict = "; ".join(told.wrong) or "right"
    print(f"{told.point}, {told.kind}: {verdict} [{told.took_s:.1f} s]", flush=True)


def _quick() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main()
