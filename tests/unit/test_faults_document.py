"""docs/faults.md lists the points there are, and the commands in it are ones that can be given."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.fault_points import table

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
PLAN = (("tests.chaos", "--seed 7 --plan"), ("tests.mutants", "--list"), ("service.fault_points", ""))
BRIEF = (
    ("tests.simulation", "--seconds 1"),
    ("tests.simulation", "--seed 27 --trace"),
    ("tests.simulation.explore", "--troubles 1"),
)


def test_the_points_are_those_of_the_code() -> None:
    found = re.search(r"<!-- points.*?-->\n(.*?)<!-- end of points -->", DOCUMENT, re.DOTALL)
    assert found
    assert found[1].strip() == table()


def test_every_target_of_make_that_is_named_is_there() -> None:
    named = set(re.findall(r"`make (\w+)", DOCUMENT))
    assert named == {"chaos", "mutants"}
    assert named <= set(re.findall(r"^(\w+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("module", "arguments"), PLAN)
def test_what_only_tells_can_be_asked(module: str, arguments: str) -> None:
    assert f"`python -m {module} {arguments}".strip() in DOCUMENT
    command = [sys.executable, "-m", module, *arguments.split()]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.count("\n") > 10


def test_every_module_that_is_run_is_there_and_takes_what_is_given() -> None:
    told = re.findall(r"`python -m (\S+?)(?: ([^`]*))?`", DOCUMENT)
    assert len(told) >= 5
    for module, arguments in told:
        path = ROOT / module.replace(".", "/")
        text = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
        assert "__main__" in text
        assert all(f'"{option}"' in text for option in arguments.split() if option.startswith("--"))


@pytest.mark.parametrize(("module", "arguments"), BRIEF)
def test_what_takes_little_can_be_run(module: str, arguments: str) -> None:
    assert f"`python -m {module}" in DOCUMENT
    command = [sys.executable, "-m", module, *arguments.split()]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
