"""Declaring a pipeline costs no heavy import: they come when a value needs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("numpy", "obstore", "pandas", "polars", "pyarrow", "scipy", "sklearn", "skops")


def test_the_first_floor_imports_nothing_heavy() -> None:
    code = "import sys, stages, stages.gates, stages.invoke, stages.values; print(*sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert sorted(set(HEAVY).intersection(done.stdout.split())) == []
