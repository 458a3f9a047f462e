"""Some mutants, drawn from a seed among those that tests without servers notice. `make mutants` takes all of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.mutants.__main__ import hunt
from tests.mutants.catalogue import MUTANTS

SEED = 20261127
SOME = 2


@pytest.mark.timeout(180)
def test_some_mutants_are_noticed(tmp_path: Path) -> None:
    quick = [one for one in MUTANTS if all(test.startswith("tests/unit/") for test in one.tests)]
    assert hunt(random.Random(SEED).sample(quick, SOME), tmp_path / "tidemill") == []
