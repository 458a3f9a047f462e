"""Kept code that cannot be fetched now is an outage; code that is not there is a reason to ask a person."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.loops.kept_runs import KeptRuns
from stages.errors import ArtifactMissing, StageError, StoreUnavailable

ROW: Any = {"pipeline": "line", "version": "v1", "code": "c0de", "spec": "line:line", "made_with": None}


class Store:
    """An artifact store that has nothing but trouble."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def get(self, digest: str) -> bytes:
        raise self._error


async def refused(error: Exception, home: Path) -> str | None:
    settings = SimpleNamespace(home=home)
    one = KeptRuns(
        cast("Any", SimpleNamespace(settings=settings)),
        None,
        cast("Any", Store(error)),
        cast("Any", None),
        cast("Any", None),
    )
    return await one._driven(ROW)


@pytest.mark.parametrize("error", [StoreUnavailable("away", transient=True), OSError(28, "No space left on device")])
async def test_a_store_that_is_away_fails_no_run(tmp_path: Path, error: Exception) -> None:
    assert await refused(error, tmp_path) is None


@pytest.mark.parametrize("error", [ArtifactMissing("it is gone"), StoreUnavailable("no such bucket", transient=False)])
async def test_code_that_is_not_there_is_told(tmp_path: Path, error: StageError) -> None:
    assert str(error) == await refused(error, tmp_path)
