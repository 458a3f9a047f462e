"""Pipelines and the installation in the console."""

from __future__ import annotations

from pathlib import Path

from service.model import RunState
from service.settings import Role
from tests.db.api import PIPELINES, api, sums
from tests.db.console import look, text_of


async def test_pipelines_tell_how_their_latest_runs_went(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=PIPELINES) as one:
        good = await one.start("sums")
        bad = await one.start("broken")
        waiting = await one.start("gated", RunState.WAITING)
        told = text_of(await look(one, "/pipelines"))
        for run, state in ((good, "succeeded"), (bad, "failed"), (waiting, "waiting")):
            assert f"run {run}: {state}" in told
        assert "✓ listening webhook:plain" in told
        page = await look(one, "/pipelines/gated")
        assert "gate add-double" in text_of(page)
        assert 'class="gate plain"' in page
        assert f"gated #{waiting}" in text_of(page)
        assert "/api/v1/stream?pipeline=gated&amp;after=" in page
        done = text_of(await look(one, "/pipelines/sums"))
        assert "1 of the latest 1 succeeded" in done
        assert "webhook:signed" in done
        assert "no pipeline &#39;none&#39; is known" in await look(one, "/pipelines/none", 404)


async def test_a_pipeline_that_is_loaded_no_more_is_shown_as_it_was(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await one.start("gated", RunState.WAITING)
        await one.daemon.writer.drained()
    async with api(database, tmp_path, Role.API, pipelines=(sums,)) as one:
        assert "gated not loaded here" in text_of(await look(one, "/pipelines"))
        page = text_of(await look(one, "/pipelines/gated"))
    assert "as its newest run had it" in page
    assert "add-double" in page


async def test_the_installation_is_shown(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, Role.EXECUTOR) as one:
        told = text_of(await look(one, "/system"))
        mine = one.daemon.writer.daemon
    assert f"{mine} this one ✓ alive" in told
    assert "api, executor" in told
    assert "database ✓ ok" in told
    assert "Nobody outside is told how runs go: no sink is set." in told
    assert "Every run has ended." in told
    assert "All are as they are by default." in told
