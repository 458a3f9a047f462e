"""The container runner against a recording of docker's CLI (`fake_engine.py`): no engine was there to run it on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from stages import Pipeline, Retry, stage
from stages.errors import InvalidPipeline
from stages.runners.base import RunnerTools
from stages.runners.container import ContainerRunner
from stages.stores import open_store
from tests.contract.attempts import Attempts, heard
from tests.contract.engines import IMAGE, calls, containers, fake_engine
from tests.contract.worker_stages import pipeline
from tests.fault.processes import all_gone, kill_all

FOLDERS = {"/tidemill/call", "/tidemill/artifacts"}


@pytest_asyncio.fixture
async def attempts(tmp_path: Path) -> AsyncIterator[Attempts]:
    with fake_engine(tmp_path) as engine:
        async with opening(tmp_path, container_cli=engine) as attempts:
            yield attempts


@asynccontextmanager
async def opening(home: Path, **changes: Any) -> AsyncIterator[Attempts]:
    """A runner for as long as the block lasts."""
    attempts = opened(home, **changes)
    yield attempts
    await attempts.runner.close()


def opened(home: Path, **changes: Any) -> Attempts:
    url = (home / "store").as_uri()
    tools = RunnerTools(store=open_store(url), store_url=url, home=home, installation="i1", **changes)
    return Attempts(ContainerRunner(tools), pipeline, home, {"image": IMAGE})


def options(call: list[str], name: str) -> list[str]:
    """The values an option was given."""
    return [value for option, value in pairwise(call) if option == name]


async def test_the_image_is_pulled_by_digest_once_and_shown(attempts: Attempts) -> None:
    with heard() as lines:
        await attempts.made("process_id")
        await attempts.made("process_id")
    assert calls(attempts.folder, "pull") == [["pull", IMAGE]]
    said = [line for logger, line in lines if logger == "process_id.runner"]
    assert said == [f"pulling {IMAGE}", f"Status: Downloaded newer image for {IMAGE}"]


async def test_what_a_container_may_take_and_is_told(attempts: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", "postgresql://secret")
    attempts.packages |= {"memory_bytes": 50_000_000, "resources": {"cpu": 1.5}}
    engine = str(attempts.folder / "engine" / "docker")
    api = partial(tuple, ("http://127.0.0.1:8400", "token"))
    async with opening(attempts.folder, container_cli=engine, api=api) as daemon:
        daemon.packages = attempts.packages
        await daemon.made("process_id")
    [call] = calls(attempts.folder, "run")
    assert options(call, "--memory") == ["50000000"]
    assert options(call, "--cpus") == ["1.5"]
    assert options(call, "--pids-limit") == ["4096"]
    assert "--rm" in call
    assert "--network" not in call
    labels = dict(one.split("=") for one in options(call, "--label"))
    assert {name: labels[f"tidemill.{name}"] for name in ("run", "stage", "attempt", "installation")} == {
        "run": "7",
        "stage": "process_id",
        "attempt": "1",
        "installation": "i1",
    }
    assert {one.rpartition("target=")[2] for one in options(call, "--mount")} == FOLDERS
    given = options(call, "--env")
    assert {"AWS_SECRET_ACCESS_KEY", "TIDEMILL_API_TOKEN", "TIDEMILL_URL"} < set(given)
    assert "TIDEMILL_ARTIFACTS=file:///tidemill/artifacts" in given
    assert not any("secret" in one or "token" in one for one in call)
    assert options(call, "--add-host") == ["host.docker.internal:host-gateway"]
    assert call[call.index(IMAGE) :][:3] == [IMAGE, "stage", "run"]


async def test_podman_is_given_no_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with fake_engine(tmp_path, "podman") as engine:
        async with opening(tmp_path, container_cli=engine) as podman:
            await podman.made("process_id")
    (tmp_path / "other").mkdir()
    with fake_engine(tmp_path / "other") as engine:
        async with opening(tmp_path / "other", container_cli=engine) as docker:
            await docker.made("process_id")
    assert options(calls(tmp_path, "run")[0], "--user") == []
    assert options(calls(tmp_path / "other", "run")[0], "--user") == [f"1000:{os.getgid()}"]


async def test_a_stage_out_of_time_is_stopped_and_removed(attempts: Attempts) -> None:
    assert (await attempts.error("sleeps", timeout_s=0.3)).message == "timed out after 0.3 s"
    [name] = options(calls(attempts.folder, "run")[0], "--name")
    assert calls(attempts.folder, "stop") == [["stop", "-t", "2", name]]
    assert calls(attempts.folder, "rm") == [["rm", "--force", name]]
    assert (attempts.folder / "cleaned").exists()
    assert containers(attempts.folder) == {}


async def test_a_container_that_was_killed_is_lost(attempts: Attempts) -> None:
    assert await attempts.lost("is_killed") == "the container was killed: out of memory, or by hand"


async def test_an_engine_that_is_away_is_trouble_that_passes(attempts: Attempts) -> None:
    (attempts.folder / "engine" / "away").touch()
    error = await attempts.error("process_id")
    assert error.transient
    assert "Cannot connect to the Docker daemon" in error.message


async def test_an_image_that_is_not_there_is_permanent(attempts: Attempts) -> None:
    attempts.packages["image"] = f"unknown@sha256:{'0' * 64}"
    error = await attempts.error("process_id")
    assert (error.type, error.transient) == ("stages.errors.NoEnvironment", False)
    assert "cannot be pulled: Error response from daemon: manifest unknown" in error.message


async def test_an_image_without_tidemill_is_told_what_it_lacks(attempts: Attempts) -> None:
    (attempts.folder / "engine" / "bare image").touch()
    error = await attempts.error("process_id")
    assert not error.transient
    assert "install Tidemill in the image" in error.message


async def test_without_an_engine_it_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = await opened(tmp_path).error("process_id")
    assert not error.transient
    assert "install docker or podman, or name its CLI in TIDEMILL_EXECUTOR_CONTAINER_CLI" in error.message


async def test_what_a_killed_daemon_left_is_removed_and_no_more(attempts: Attempts) -> None:
    """A daemon's process is killed while its container runs; another of the same home starts, and a third lives."""
    code = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tests.contract.test_containers import opened\n"
        "home = Path(sys.argv[1])\nattempts = opened(home, container_cli=sys.argv[2])\n"
        "attempts.folder = home / sys.argv[3]\nattempts.folder.mkdir()\nasyncio.run(attempts.run('sleeps'))\n"
    )
    engine = str(attempts.folder / "engine" / "docker")
    daemons = [
        subprocess.Popen([sys.executable, "-c", code, str(attempts.folder), engine, name]) for name in ("dead", "alive")
    ]
    dead, alive = (replace_folder(attempts, name) for name in ("dead", "alive"))
    left, kept = await dead.process_of(), await alive.process_of()
    daemons[0].kill()
    daemons[0].wait()
    try:
        assert set(containers(attempts.folder).values()) == {left, kept}
        await attempts.runner.prepare([attempts.planned("process_id")])
        await all_gone([left])
        assert set(containers(attempts.folder).values()) == {kept}
    finally:
        daemons[1].kill()
        daemons[1].wait()
        kill_all([kept])
    await all_gone([kept])
    async with asyncio.timeout(10):
        while containers(attempts.folder):
            await attempts.runner.prepare([attempts.planned("process_id")])


def replace_folder(attempts: Attempts, name: str) -> Attempts:
    return replace(attempts, folder=attempts.folder / name)


def in_image(image: str, **settings: Any) -> Pipeline:
    def work() -> None:
        return None

    return Pipeline("images", [stage(image=image, **settings)(work)])


async def test_a_tag_is_refused_when_the_pipeline_loads() -> None:
    with pytest.raises(InvalidPipeline, match=r"a tag may be another image tomorrow; write it as NAME@sha256:DIGEST"):
        in_image("registry.example/flights:latest")


async def test_the_digest_of_the_image_is_in_the_key() -> None:
    one, two = (in_image(f"flights@sha256:{digit * 64}").plan.stages["work"] for digit in "01")
    assert one.runner == "container"
    assert one.environment_digest == f"sha256:{'0' * 64}"
    assert one.key_prefix.hexdigest() != two.key_prefix.hexdigest()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"runner": "inline"}, "runner='inline' does not use its image"),
        ({"environment": "requirements.lock"}, "it has an environment and an image: which is it?"),
    ],
)
async def test_an_image_that_is_not_used_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidPipeline, match=told.replace("?", r"\?")):
        in_image(IMAGE, retry=Retry(), **settings)


async def test_nothing_an_event_says_gets_onto_a_command_line(attempts: Attempts) -> None:
    hostile = {"--privileged": "$(touch owned)", "x": "`touch owned`; touch owned", "y": "\n-v/:/host\n", "z": "canary"}
    await attempts.made("process_id", **hostile)
    said = " ".join(word for call in calls(attempts.folder, "run") for word in call)
    assert not any(word in said for word in ("--privileged", "owned", "-v/:/host", "canary"))
    assert options(calls(attempts.folder, "run")[0], "--security-opt") == ["no-new-privileges"]
    assert not [path for path in (Path.cwd(), attempts.folder) if (path / "owned").exists()]
