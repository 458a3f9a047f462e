"""Environments made of real locks by the real uv: what is in them, that each is made once, and what goes wrong."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from stages.environments import minimum, recipes
from stages.environments.make import READY, Environments, may_pass
from stages.errors import NoEnvironment
from stages.outcome import Succeeded
from stages.runners.base import RunnerTools
from stages.runners.environment import EnvironmentRunner
from stages.stores import open_store
from tests.contract.attempts import Attempts, heard
from tests.contract.environment_stages import pipeline

pytestmark = pytest.mark.asyncio(loop_scope="module")
BESIDE = Path(__file__).parent
SIX = "six==1.16.0"


@dataclass
class Making:
    """Environments below a folder of the test's own, and what was said while they were made."""

    environments: Environments
    folder: Path
    said: list[str]

    def lock(self, *lines: str, name: str = "requirements.lock") -> Path:
        """A lock file of these lines."""
        file = self.folder / name
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    def there(self) -> list[Path]:
        """What was made, wholly or not. The folder of links is neither."""
        folders = [one for one in self.environments.root.glob("*") if one.is_dir()]
        return [one for one in folders if not one.name.startswith("code-")]

    async def made(self, lock: Path) -> Path:
        return await self.environments.ready(lock, self.said.append)

    async def refused(self, lock: Path) -> NoEnvironment:
        with pytest.raises(NoEnvironment) as caught:
            await self.made(lock)
        # Nothing half made stays, nor does anything stand in the way of the next try.
        assert self.there() == []
        return caught.value


@pytest.fixture
def making(tmp_path: Path) -> Making:
    (tmp_path / "project").mkdir()
    return Making(Environments(tmp_path / "environments"), tmp_path / "project", [])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lent(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Attempts]:
    home = tmp_path_factory.mktemp("home")
    url = tmp_path_factory.mktemp("store").as_uri()
    runner = EnvironmentRunner(RunnerTools(store=open_store(url), store_url=url, threads=2, home=home))
    yield Attempts(runner, pipeline, home)
    await runner.close()


async def test_a_stage_has_its_own_packages_and_none_of_the_daemons(lent: Attempts) -> None:
    assert version("six") != "1.16.0"
    seen = await lent.made("looks_around")
    assert (seen["six"], seen["tool"]) == ("1.16.0", "1.16.0")
    assert seen["packages"] == sorted(["six", *minimum.MINIMUM])
    assert seen["absent"] == [
        *("asyncpg", "aiokafka", "polars", "numpy", "pytest", "rich", "starlette", "uvloop", "obstore")
    ]
    assert Path(seen["python"]).is_relative_to(lent.folder / "environments")


async def test_an_environment_that_is_there_is_not_made_again(lent: Attempts) -> None:
    await lent.made("versions", names=["six"])
    with heard("tidemill.stage.environments.") as lines:
        assert await lent.made("versions", names=["six"]) == {"six": "1.16.0"}
    assert [line for logger, line in lines if logger == "versions.runner"] == []


async def test_memory_and_cpu_are_limited(lent: Attempts) -> None:
    if sys.platform == "linux":
        assert (await lent.error("takes_memory", bytes=200_000_000)).type == "MemoryError"
    error = await lent.error("burns")
    assert (error.type, error.transient) == ("stages.errors.CpuSpent", False)
    assert error.message.startswith("it used more than 1 s of CPU time")


async def test_a_stage_sees_the_daemons_variables_without_its_settings(
    lent: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("MINE", "mine")
    url = lent.runner._tools.store_url  # type: ignore[attr-defined]
    assert await lent.made("told") == [None, url, None, "mine"]


async def test_what_makes_an_environment_is_shown_and_takes_no_time_of_the_stage(
    tmp_path: Path, lent: Attempts
) -> None:
    tools = RunnerTools(store=open_store(tmp_path.as_uri()), store_url=tmp_path.as_uri(), home=tmp_path)
    fresh = Attempts(EnvironmentRunner(tools), pipeline, tmp_path)
    digest = Environments(tmp_path)._digest(recipes.Format.REQUIREMENTS, BESIDE / "requirements-six.lock")
    (tmp_path / "environments").mkdir()
    with (tmp_path / "environments" / f"{digest}.lock").open("w") as held, heard("tidemill.stage.") as lines:
        fcntl.flock(held, fcntl.LOCK_EX)
        async with asyncio.TaskGroup() as tasks:
            attempt = tasks.create_task(fresh.run("where", timeout_s=0.9))
            await asyncio.sleep(1)
            fcntl.flock(held, fcntl.LOCK_UN)
    assert isinstance(attempt.result(), Succeeded)
    said = [line for logger, line in lines if logger == "environments.where.runner"]
    assert said[0] == "another process is making this environment: waiting for it"
    assert said[1].startswith("making the environment of requirements-six.lock")
    assert any("six==1.16.0" in line for line in said)
    assert said[-1].startswith("the environment of requirements-six.lock is ready after")


async def test_many_that_need_it_at_once_make_it_once(making: Making) -> None:
    lock = making.lock(SIX)
    others = [Environments(making.environments.root) for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        made = [tasks.create_task(one.ready(lock, making.said.append)) for one in (making.environments, *others)]
    assert len({one.result() for one in made}) == 1
    assert len([line for line in making.said if line.startswith("making")]) == 1


async def test_one_that_was_cut_short_is_made_anew(making: Making) -> None:
    lock = making.lock(SIX)
    begun = asyncio.Event()

    def say(line: str) -> None:
        begun.set()

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(making.environments.ready(lock, say))
        await begun.wait()
        task.cancel()
    assert making.there() == []
    assert (await making.made(lock) / "bin/python").exists()


async def test_what_nobody_used_for_long_or_a_kill_left_half_made_goes_when_another_is_made(making: Making) -> None:
    root, lock = making.environments.root, making.lock(SIX)
    old = await making.made(lock)
    left, cut_short, under_way, mine = (root / name for name in ("0" * 16, f"{'1' * 16}.new", "2" * 16, "mine"))
    for folder in (left, cut_short, under_way, mine):
        folder.mkdir()
    (left / "file").touch()
    another = making.lock(SIX, "# another", name="requirements-another.lock")
    with (root / f"{under_way.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        used = await making.made(another)
        assert set(making.there()) == {old, used, under_way, mine}
        for one in (old, used):
            os.utime(one / READY, (0, 0))
        assert await making.made(another) == used
        await making.made(making.lock(SIX, "# a third", name="requirements-third.lock"))
        assert used.exists()
        assert not old.exists()
        assert under_way.exists()
    assert (await making.made(lock) / READY).exists()


async def test_what_the_lock_pins_is_kept(making: Making) -> None:
    made = await making.made(making.lock("annotated-types==0.7.0"))
    assert version("annotated-types") != "0.7.0"
    assert list(made.glob("lib/*/site-packages/annotated_types-0.7.0.dist-info"))


async def test_a_pin_that_does_not_go_with_ours_is_told(making: Making) -> None:
    error = await making.refused(making.lock("typing-extensions==3.7.4.3"))
    assert not error.transient
    assert "does not go with what Tidemill needs" in str(error)


async def test_a_lock_that_does_not_resolve_is_permanent_in_uvs_own_words(making: Making) -> None:
    error = await making.refused(making.lock("six==1.16.0", "six==1.15.0"))
    assert not error.transient
    assert "requirements.lock: uv could not make its environment" in str(error)
    assert "requirements are unsatisfiable" in str(error)


async def test_a_wrong_hash_is_permanent(making: Making) -> None:
    error = await making.refused(making.lock(f"{SIX} --hash=sha256:{'0' * 64}"))
    assert not error.transient
    assert "hash" in str(error).lower()


async def test_trouble_with_the_network_is_transient(making: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    error = await making.refused(making.lock("--index-url http://127.0.0.1:9/simple", "tidemill-not-there==1"))
    assert error.transient, error


async def test_a_uv_project_is_synced_as_it_is_locked(making: Making) -> None:
    project = making.folder / "pyproject.toml"
    project.write_text(
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["six==1.16.0"]\n'
    )
    subprocess.run([recipes.uv(), "lock", "--quiet"], cwd=making.folder, check=True)
    made = await making.made(making.folder / "uv.lock")
    assert list(made.glob("lib/*/site-packages/six-1.16.0.dist-info"))
    assert sorted(one.name for one in making.folder.iterdir()) == ["pyproject.toml", "uv.lock"]


def tool(folder: Path, name: str, script: str) -> None:
    """A command on the PATH that records how it was called."""
    file = folder / name
    file.write_text(f'#!/bin/sh\necho "$@" >> "{folder}/calls"\n{script}\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


async def test_poetry_installs_into_the_environment_that_is_active(
    making: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a recording of Poetry: it installs what the lock says into $VIRTUAL_ENV."""
    making.lock(name="pyproject.toml")
    lock = making.lock(name="poetry.lock")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    error = await making.refused(lock)
    assert "needs Poetry, which is not on the PATH" in str(error)
    tool(
        tmp_path,
        "poetry",
        f'test -f poetry.lock && {recipes.uv()} pip install --python "$VIRTUAL_ENV/bin/python" {SIX}',
    )
    made = await making.made(lock)
    assert list(made.glob("lib/*/site-packages/six-1.16.0.dist-info"))
    assert (tmp_path / "calls").read_text() == "install --no-interaction --no-root --only main\n"


async def test_conda_makes_the_environment_where_it_stays(
    making: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a recording of micromamba."""
    lock = making.lock(name="environment.yml")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    error = await making.refused(lock)
    assert "none of micromamba, mamba, conda is on the PATH: install micromamba" in str(error)
    tool(tmp_path, "micromamba", f"{recipes.uv()} venv --quiet --python {sys.executable} $5")
    made = await making.made(lock)
    assert (tmp_path / "calls").read_text() == f"create --yes --quiet --prefix {made} --file {lock}\n"


async def test_without_uv_it_is_told_how_to_install_it(
    making: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(NoEnvironment, match="pip install uv"):
        recipes.uv()


async def test_a_lock_that_changed_since_it_was_read_is_not_used(tmp_path: Path, lent: Attempts) -> None:
    lock = tmp_path / "requirements.lock"
    shutil.copyfile(BESIDE / "requirements-six.lock", lock)
    attempts = Attempts(lent.runner, pipeline, tmp_path, {"environment": str(lock)})
    planned = attempts.planned("where")
    lock.write_text("six==1.15.0\n")
    object.__setattr__(attempts, "planned", lambda stage: planned)
    error = await attempts.error("where")
    assert error.transient
    assert "restart the daemon" in error.message


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("error sending request for url\nConnection refused (os error 111)", True),
        ("Failed to fetch: `https://index/simple/`\nHTTP status server error (503 Service Unavailable)", True),
        ("Failed to fetch: `https://index/a.whl`\nHTTP status client error (404 Not Found)", False),
        ("No solution found when resolving dependencies", False),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", True),
        ("manifest unknown", False),
    ],
)
async def test_trouble_that_passes_is_told_by_what_the_tool_said(said: str, passes: bool) -> None:
    assert may_pass(said) is passes


async def test_the_minimum_is_what_an_attempt_imports() -> None:
    told = "print(*(getattr(one, '__file__', None) or '' for one in list(sys.modules.values())))"
    code = f"import sys; {minimum.TRIAL}; {told}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ())
    files = [Path(file) for file in done.stdout.split() if "site-packages" in file]
    tops = {file.parts[file.parts.index("site-packages") + 1].removesuffix(".py") for file in files}
    assert {one.replace("_", "-") for one in tops - {"_distutils_hack"}} == set(minimum.MINIMUM)


def environ() -> dict[str, Any]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
