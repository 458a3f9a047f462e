"""Where the public test vectors are: beside the project, in shared/vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_FOLDER = Path(__file__).parents[3] / "shared" / "vectors"


def vectors(name: str) -> Any:
    """The parsed file of that name. Skips the whole module where the vectors were not fetched."""
    file = _FOLDER / name
    if not file.exists():
        pytest.skip(f"vectors absent: put {name} into ../shared/vectors to run these", allow_module_level=True)
    return json.loads(file.read_text(encoding="utf-8"))
