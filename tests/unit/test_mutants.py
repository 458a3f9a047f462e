"""Every mutant can still be made of the code as it is, and names tests that are there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant, Outdated

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_breaks_the_code_as_it_is(mutant: Mutant) -> None:
    assert mutant.text(ROOT) != (ROOT / mutant.file).read_text(encoding="utf-8")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8")


def test_a_mutant_is_broken_as_it_says_and_not_by_a_name_that_is_none(tmp_path: Path) -> None:
    for number, mutant in enumerate(MUTANTS):
        if mutant.file.endswith(".py"):
            (tmp_path / f"mutant_{number}.py").write_text(mutant.text(ROOT), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--no-cache",
        "--select=F821,E9",
        "--output-format=concise",
    ]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "All checks passed!", done.stdout + done.stderr


def test_no_two_have_the_same_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_mutant_that_the_code_has_left_behind_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    for old, times in (("y = 1", 0), ("x = 1", 2)):
        with pytest.raises(Outdated, match=f"is {times} times in a.py"):
            Mutant("m", "a.py", old, "z", []).text(tmp_path)
