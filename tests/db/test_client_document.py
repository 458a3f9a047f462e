"""The programs in docs/client.md run."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.db.api import api

DOCUMENT = (Path(__file__).parents[2] / "docs/client.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)


def test_there_are_some() -> None:
    assert len(PROGRAMS) == 2


@pytest.mark.parametrize("program", PROGRAMS)
async def test_it_runs(database: str, tmp_path: Path, program: str) -> None:
    async with api(database, tmp_path) as one:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program.replace("http://127.0.0.1:8400", one.daemon.address)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, told.decode()
    assert b"succeeded" in told
