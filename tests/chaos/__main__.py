"""`make chaos MINUTES=10 SEED=n`: a storm by a seed, and the ledger's verdict on what it left.

python -m tests.chaos --minutes 10 --seed 7
python -m tests.chaos --seed 7 --plan          (tells what would go wrong, and does none of it)
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.plan import plan
from tests.chaos.storm import Storm


def main() -> None:
    """Read the arguments and run; exits with 1 when something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--per-s", type=float, default=4.0, help="how often each kind of thing happens")
    parser.add_argument("--plan", action="store_true", help="only tell what would go wrong")
    given = parser.parse_args()
    if given.plan:
        print(*plan(given.seed, given.minutes * 60), sep="\n")
        return
    print(f"seed {given.seed}, {given.minutes:g} minutes", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tidemill-chaos-") as folder:
        storm = Storm(given.seed, given.minutes * 60, Path(folder), lambda line: print(line, flush=True), given.per_s)
        wrong = asyncio.run(storm.rage())
    for name, count in sorted(storm.happened.items()):
        print(f"{count:8} {name}")
    acknowledged = sum(count for name, count in storm.happened.items() if name.startswith("acknowledged"))
    print(f"{acknowledged} things in {time.monotonic() - began:.0f} s")
    print(*(f"WRONG: {one}" for one in wrong), sep="\n")
    print("verdict: " + (f"{len(wrong)} things are wrong" if wrong else "nothing lost, nothing doubled"))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
