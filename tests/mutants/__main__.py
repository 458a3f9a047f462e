"""`make mutants`: break the build in each of the ways that matter, and see that the tests notice.

python -m tests.mutants                  (all of them)
python -m tests.mutants offset lease     (those with one of these words in their names)
python -m tests.mutants --list           (tells which there are)
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.catalogue import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")
# A broken build may wait for what never comes. A whole one must not be taken for it where others work beside it.
TEST_S = 240
# What a test that failed left open is no matter here.
LEFT_OUT = ("-p", "no:cacheprovider", "-p", "no:unraisableexception")


def main() -> None:
    """Read the arguments and run; exits with 1 where a mutant was not noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--list", action="store_true", help="only tell which there are")
    given = parser.parse_args()
    chosen = [one for one in MUTANTS if not given.words or any(word in one.name for word in given.words)]
    if not chosen:
        sys.exit(f"no mutant has {' or '.join(given.words)} in its name: python -m tests.mutants --list tells which do")
    if given.list:
        print(*(f"{one.file}: {one.name}" for one in chosen), sep="\n")
        return
    with tempfile.TemporaryDirectory(prefix="tidemill-mutants-") as folder:
        missed = hunt(chosen, Path(folder) / "tidemill")
    print(f"{len(chosen) - len(missed)} of {len(chosen)} mutants were noticed")
    sys.exit(bool(missed))


def hunt(mutants: Sequence[Mutant], copy: Path) -> list[Mutant]:
    """Those that no test noticed. The tests have to pass where nothing is broken: else they would notice anything."""
    shutil.copytree(ROOT, copy, ignore=LEFT_BEHIND)
    noticed = failed(copy, sorted({test for one in mutants for test in one.tests}))
    if noticed:
        sys.exit(f"these fail already where nothing is broken: {noticed}")
    missed = []
    for one in mutants:
        began = time.monotonic()
        whole = (copy / one.file).read_text(encoding="utf-8")
        (copy / one.file).write_text(one.text(copy), encoding="utf-8")
        noticed = failed(copy, one.tests)
        (copy / one.file).write_text(whole, encoding="utf-8")
        missed += [] if noticed else [one]
        told = f"noticed by {noticed}" if noticed else "NOT NOTICED"
        print(f"{one.name} ({one.file}): {told} [{time.monotonic() - began:.0f} s]", flush=True)
    return missed


def failed(copy: Path, tests: Sequence[str]) -> str:
    """Which of the tests fail in this copy, and how many do and do not; empty: none fails."""
    pytest = (sys.executable, "-m", "pytest", f"--timeout={TEST_S}", "--maxfail=5", *LEFT_OUT)
    result = subprocess.run(
        [*pytest, "-o", "addopts=-ra", *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode not in (0, 1, 2):
        sys.exit(f"pytest could not run {' '.join(tests)}:\n{result.stdout}\n{result.stderr}")
    if not result.returncode:
        return ""
    lines = result.stdout.splitlines()
    found = [line.split()[1] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    if not found:
        sys.exit(f"pytest ended without a verdict:\n{result.stdout}\n{result.stderr}")
    return f"{found[0]} ({lines[-1].strip('= ')})"


if __name__ == "__main__":
    main()
