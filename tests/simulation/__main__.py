"""`python -m tests.simulation`: simulate seed after seed, and say which of them broke a promise.

python -m tests.simulation --seconds 60            as many as there is time for
python -m tests.simulation --seed 241 --trace      one, with every write
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.world import simulate


def main() -> int:
    """Simulate and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--trace", action="store_true", help="print every write")
    args = parser.parse_args()
    seed = args.first if args.seed is None else args.seed
    began, seeds, deaths, calls, writes, wrong = time.monotonic(), 0, 0, 0, 0, 0
    while time.monotonic() - began < args.seconds and (args.seed is None or seeds == 0):
        verdict = simulate(seed + seeds)
        seeds, deaths, calls = seeds + 1, deaths + verdict.deaths, calls + verdict.calls
        writes += len(verdict.told)
        if args.trace:
            print(*verdict.told, sep="\n")
        if verdict.wrong:
            wrong += 1
            print(f"seed {verdict.seed}:", *verdict.wrong, sep="\n  ")
    took_s = time.monotonic() - began
    told = f"{seeds} seeds in {took_s:.1f} s ({seeds / took_s:.0f}/s, {writes / took_s:,.0f} writes/s)"
    print(f"{told}: {calls} attempts, {deaths} deaths, {wrong} wrong")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
