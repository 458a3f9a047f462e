"""A run of which one stage has packages of its own, in a whole daemon on a real database."""

from __future__ import annotations

from pathlib import Path

from service.model import RunState
from service.settings import Role
from tests.db.daemons import daemon, reached, settings, start
from tests.db.process_stages import packaged
from tests.db.writing import rows


async def test_a_stage_with_its_own_packages_uses_the_models_of_the_daemon(database: str, tmp_path: Path) -> None:
    given = settings(database, tmp_path, Role.API, Role.EXECUTOR, threads=1)
    async with daemon(given, packaged) as one:
        run = await start(one, "packaged", "1", {"count": 5_000})
        assert await reached(one, run) is RunState.SUCCEEDED, await rows(database, "select failure from attempts")
        await one.writer.drained()
    [made] = await rows(database, "select output_inline from attempts where stage = 'enroll'")
    assert made["output_inline"] == b'"1.16.0 1"'
    [version] = await rows(database, "select run_id, state from model_versions")
    assert (version["run_id"], version["state"]) == (run, "production")
    lines = [tuple(line) for line in await rows(database, "select level, message from stage_logs order by seq")]
    assert ("info", "enrolling") in lines
    assert ("progress", "100% enrolled") in lines
    assert any(message.startswith("making the environment of requirements-six.lock") for _, message in lines)
