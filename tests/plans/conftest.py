"""What the tests of plans share."""

from __future__ import annotations

import pytest

from tests.plans.ten_million import make_history


@pytest.fixture
async def history(request: pytest.FixtureRequest, database: str) -> str:
    """A database with many finished runs, which the planner takes for ten million."""
    request.node.add_marker("rows_by_hand")
    await make_history(database)
    return database
