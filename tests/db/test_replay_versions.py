"""Replays on earlier versions: the code they were loaded from is kept, and runs in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.db.retention import removing
from service.model import RunState
from service.settings import Role
from stages import kept_code
from stages.base import stage
from stages.pipeline import Pipeline, load
from tests.db.api import STRUCTURED, Api, api, problem
from tests.db.asking import everything, tidemill
from tests.db.daemons import reached
from tests.db.writing import rows
from triggers.cloudevents import CloudEvents
from triggers.event import Event

MODULES = ("quarry", "quarry.line", "quarry.parts", "quarry.parts.late", "weights")
LINE = """
from pathlib import Path
from pydantic import BaseModel
from stages import Pipeline, Retry, StageContext, SubRun, stage
from stages.canonical.register import RegisteredVersion, register_version
from triggers import CloudEvents
from triggers.event import Event
from quarry.parts import grain
import weights

HERE = Path(__file__).parent


class Params(BaseModel):
    PARAM: int = 3


@stage
def cut(event: Event, params: Params) -> int:
    from .parts.late import bonus

    assert HERE.is_dir()
    return params.PARAM * weights.FACTOR + bonus()


@stage(runner="process")
def pack(cut: int) -> list[int]:
    return [cut, grain()]


@stage(reuse="run")
async def publish(pack: list[int], ctx: StageContext) -> RegisteredVersion:
    ctx.emit("stone.cut", {"size": pack[0]})
    return await register_version(ctx, "stone", model_input="pack", metrics={"size": pack[0]})


@stage(reuse="run")
async def deliver(publish: RegisteredVersion) -> SubRun:
    return SubRun("carry", output="carried")


def heavy(output: list[int]) -> bool:
    from quarry.parts import least

    return output[0] >= least()


line = Pipeline(
    "quarry",
    [cut, pack, publish, deliver],
    gates={("pack", "publish"): heavy},
    on=[CloudEvents(where={"type": "stone"}, params={"PARAM": "data.size"})],
)
"""


def written(folder: Path, *, factor: int, bonus: int, least: int, param: str = "size") -> None:
    """The project in one of its states."""
    for name in ("quarry", "quarry/parts"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "quarry/__init__.py").touch()
    (folder / "quarry/line.py").write_text(LINE.replace("PARAM", param))
    parts = {"grain": factor + 5, "least": least}
    told = "\n\n\n".join(f"def {name}():\n    return {value}" for name, value in parts.items())
    (folder / "quarry/parts/__init__.py").write_text(f"{told}\n")
    (folder / "quarry/parts/late.py").write_text(f"def bonus():\n    return {bonus}\n")
    (folder / "weights.py").write_text(f"FACTOR = {factor}\n")
    (folder / ".env").write_text("SECRET=1\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


def loaded(spec: str = "quarry.line:line") -> Pipeline:
    """As a daemon that starts now would load it."""
    for name in MODULES:
        sys.modules.pop(name, None)
    return load(spec)


@stage(reuse="run")
async def carried(event: Event) -> int:
    return 4


@stage(reuse="run")
async def heard(event: Event) -> int:
    return 1


carry = Pipeline("carry", [carried])
hears = Pipeline("hears", [heard], on=[CloudEvents(where={"type": "stone.cut"})])


@asynccontextmanager
async def quarry(database: str, folder: Path, pipeline: Pipeline) -> AsyncIterator[Api]:
    async with api(database, folder, Role.API, Role.EXECUTOR, pipelines=(pipeline, carry, hears)) as one:
        yield one


async def kept(one: Api, version: str, *, missing: bool = False) -> dict[str, Any]:
    """What is told of a version once the daemon has kept its code, or said why not."""
    while True:
        answer = await one.call(one.client.versions, "quarry")
        for told in answer["versions"]:
            found: dict[str, Any] = told
            if told["version"] == version and (told["code_bytes"] is not None or (missing and told["why_not"])):
                return found


async def cut(one: Api, event_id: str, size: int = 3) -> int:
    data = {"size": size}
    event = {"specversion": "1.0", "id": event_id, "source": "/hill", "type": "stone", "data": data}
    answer = await one.http.post("/api/v1/events", json=event, headers=STRUCTURED)
    assert answer.status_code == 202, answer.text
    run: int = answer.json()["events"][0]["runs"][0]
    return run


async def done(one: Api, run: int) -> dict[str, Any]:
    """The run, which has succeeded."""
    state = await reached(one.daemon, run)
    shown: dict[str, Any] = await one.call(one.client.show, run)
    assert state is RunState.SUCCEEDED, str(shown)
    return shown


async def sizes(one: Api, run: int) -> dict[str, int]:
    """What the version that a run registered, or would have registered, measured."""
    shown = await one.call(one.client.show, run)
    assert shown["state"] == "succeeded", shown
    [registered] = [effect for effect in shown["effects"] if effect["effect"] == "register"]
    found: dict[str, int] = registered["detail"]["metrics"]
    return found


async def test_an_event_is_replayed_on_the_code_that_was_loaded_then(
    database: str, tmp_path: Path, project: Path
) -> None:
    written(project, factor=10, bonus=1, least=31)
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        old = await cut(one, "1")
        await done(one, old)
        assert (await kept(one, first.version))["replayable"]
    written(project, factor=20, bonus=2, least=1000, param="length")
    second = loaded()
    assert second.version != first.version
    async with quarry(database, tmp_path, second) as one:
        assert [
            (told["version"], told["loaded"], told["replayable"])
            for told in (await one.call(one.client.versions, "quarry"))["versions"]
            if told["version"] == first.version
        ] == [(first.version, False, True)]
        before = await everything(one.daemon)
        answer = (await one.post("/api/v1/replays", {"event": "1", "on": first.version[:8], "reuse": False})).json()
        assert (answer["version"], answer["of_run"], answer["shadow"]) == (first.version, old, True)
        assert await reached(one.daemon, answer["run"]) is RunState.SUCCEEDED, await one.call(
            one.client.show, answer["run"]
        )
        assert await sizes(one, answer["run"]) == {"size": 31}
        after = await everything(one.daemon)
        for table in ("model_versions", "model_aliases", "gate_votes"):
            assert after[table] == before[table], table
        difference = await one.call(one.client.diff, old, answer["run"])
        assert (difference["a"]["version"], difference["b"]["version"]) == (first.version, first.version)
        assert difference["code"] == []
        shown = await one.call(one.client.show, answer["run"])
        assert [gate["state"] for gate in shown["gates"]] == ["passed"]
        refused = await one.post("/api/v1/replays", {"event": "1"})
        assert "length" in problem(refused, 422) or "size" in problem(refused, 422)


async def test_with_effects_it_starts_what_is_declared_today(database: str, tmp_path: Path, project: Path) -> None:
    written(project, factor=10, bonus=1, least=31)
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        await done(one, await cut(one, "1"))
        await kept(one, first.version)
    written(project, factor=20, bonus=2, least=1000)
    async with quarry(database, tmp_path, loaded()) as one:
        answer = (
            await one.post("/api/v1/replays", {"event": "1", "on": first.version, "effects": True, "reuse": False})
        ).json()
        shown = await done(one, answer["run"])
        assert (shown["version"], shown["effects"]) == (first.version, [])
        assert {(each["pipeline"], each["stage"]) for each in shown["caused"]} == {
            ("hears", "publish"),
            ("carry", "deliver"),
        }
        for each in shown["caused"]:
            await done(one, each["run"])
        tags = {
            row["pipeline"]: (row["trigger"], row["tags"])
            for row in await rows(
                one.daemon.dsn,
                "select pipeline, trigger, tags::text from runs where cause_run = $1",
                answer["run"],
            )
        }
        assert tags == {"carry": ("replay:effects", '["replay"]'), "hears": ("cloudevents", "[]")}
        versions = await one.call(one.client.model, "stone")
        assert [made["metrics"] for made in versions["versions"]] == [{"size": 31.0}, {"size": 31.0}]


async def test_a_version_that_cannot_be_run_is_refused_in_words(database: str, tmp_path: Path, project: Path) -> None:
    written(project, factor=10, bonus=1, least=31)
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        await done(one, await cut(one, "1"))
        asked = {"event": "1", "pipeline": "quarry"}
        told = problem(await one.post("/api/v1/replays", {**asked, "on": "abcdef"}), 404)
        assert told == (f"quarry has no version 'abcdef'; its latest are {first.version} (tidemill versions quarry)")
        assert "too short" in problem(await one.post("/api/v1/replays", {**asked, "on": "ab"}), 422)
        query = "insert into pipelines (name, version, definition) values ('quarry', $1, '{}') returning version"
        await rows(one.daemon.dsn, query, "feedfeedfeed")
        told = problem(await one.post("/api/v1/replays", {**asked, "on": "feed"}), 409)
        assert told.startswith("the code of quarry feedfeedfeed is not kept: it was loaded before its code was kept")
        code, out, _ = await tidemill(one, "versions", "quarry")
        assert (code, "feedfeedfeed" in out, first.version in out) == (0, True, True)
        code, _, err = await tidemill(one, "versions", "quary")
        assert (code != 0, "no pipeline is called 'quary'" in err) == (True, True)


async def test_of_code_that_is_too_large_it_is_said_that_it_goes_with_its_daemon(
    database: str, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_code, "MOST_BYTES", 5)
    written(project, factor=10, bonus=1, least=31)
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        told = await kept(one, first.version, missing=True)
        assert (told["loaded"], told["replayable"]) == (True, True)
        assert "at most 5 are kept of a version" in told["why_not"]
        _, out, _ = await tidemill(one, "versions", "quarry")
    assert "no replay once it is not: its code is" in " ".join(out.split())


async def test_code_that_no_longer_imports_fails_its_run_and_tells_with_what_it_was_made(
    database: str, tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "lib" / "site-packages"
    about = installed / "oldlib-1.5.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: oldlib\nVersion: 1.5\n")
    (about / "top_level.txt").write_text("oldlib\n")
    (installed / "oldlib.py").write_text("HARDNESS = 1\n")
    monkeypatch.syspath_prepend(str(installed))
    written(project, factor=10, bonus=1, least=31)
    with (project / "weights.py").open("a") as file:
        file.write("import oldlib\n")
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        await done(one, await cut(one, "1"))
        assert (await kept(one, first.version))["made_with"]["oldlib"] == "1.5"
    written(project, factor=20, bonus=2, least=1000)
    (installed / "oldlib.py").unlink()
    (about / "METADATA").unlink()
    (about / "top_level.txt").unlink()
    about.rmdir()
    async with quarry(database, tmp_path, loaded()) as one:
        answer = (await one.post("/api/v1/replays", {"event": "1", "on": first.version})).json()
        assert await reached(one.daemon, answer["run"]) is RunState.FAILED
        reason = (await one.call(one.client.show, answer["run"]))["failure"]["reason"]
        assert reason == (
            f"quarry {first.version} cannot be run from its kept code: pipeline 'quarry.line:line': quarry.line needs "
            "'oldlib': is it installed?; it was loaded with oldlib 1.5 (here: none)"
        )
        await what_may_be_done(one, answer["run"], first.version)


async def what_may_be_done(one: Api, failed: int, version: str) -> None:
    """Of a failed replay on a version that is not loaded, nothing is offered that is refused."""
    shown = await one.call(one.client.show, failed)
    assert shown["next_command"] == f"tidemill replay {shown['replay']['event']} --pipeline quarry --on {version}"
    code, _, err = await tidemill(one, "resume", str(failed))
    assert (code, f"tidemill resume {failed} --on latest" in err, "tidemill replay EVENT" in err) == (2, True, True)
    code, _, err = await tidemill(one, *shown["next_command"].split()[1:])
    assert code == 0, err
    answer = (await one.post("/api/v1/replays", {"event": "1", "on": version, "effects": True})).json()
    assert await reached(one.daemon, answer["run"]) is RunState.FAILED
    [waiting] = (await one.call(one.client.reviews))["reviews"]
    offered = [each["command"] for each in waiting["commands"]]
    assert offered[0] == f"{shown['next_command']} --effects"
    assert offered[1] == f"tidemill resume {answer['run']} --on latest"
    assert f"tidemill resume {answer['run']}" not in offered


async def test_a_run_goes_on_where_its_process_died(database: str, tmp_path: Path, project: Path) -> None:
    written(project, factor=10, bonus=1, least=31)
    late = project / "quarry/parts/late.py"
    late.write_text(
        "import os\nfrom pathlib import Path\n\n\ndef bonus():\n"
        f"    once = Path({str(tmp_path)!r}) / 'died'\n"
        "    if 'TIDEMILL_CODE' in os.environ and not once.exists():\n"
        "        once.touch()\n        os.kill(os.getpid(), 9)\n    return 1\n"
    )
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        await done(one, await cut(one, "1"))
        await kept(one, first.version)
    written(project, factor=20, bonus=2, least=1000)
    async with quarry(database, tmp_path, loaded()) as one:
        answer = (await one.post("/api/v1/replays", {"event": "1", "on": first.version, "reuse": False})).json()
        shown = await done(one, answer["run"])
        assert (tmp_path / "died").exists()
        assert await sizes(one, answer["run"]) == {"size": 31}
        assert [attempt["state"] for attempt in shown["stages"][0]["attempts"]][-1] == "succeeded"


async def test_nothing_that_a_version_needs_is_swept_away(database: str, tmp_path: Path, project: Path) -> None:
    written(project, factor=10, bonus=1, least=31)
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        await kept(one, first.version)
        [row] = await rows(one.daemon.dsn, "select code from pipelines where name = 'quarry'")
        async with removing(one.daemon.dsn) as removal:
            assert row["code"] in await removal.pinned()
        assert await one.daemon.store.exists(row["code"])


async def test_what_may_be_missing_in_kept_code_is_told(database: str, tmp_path: Path, project: Path) -> None:
    written(project, factor=10, bonus=1, least=3)
    chooses = "import importlib\n\n\ndef choose(name):\n    return importlib.import_module(name)\n"
    (project / "weights.py").write_text(f"FACTOR = 10\n{chooses}")
    first = loaded()
    async with quarry(database, tmp_path, first) as one:
        told = await kept(one, first.version)
        _, out, _ = await tidemill(one, "versions", "quarry")
    assert told["replayable"]
    assert told["doubt"] == (
        "imports by names worked out as it runs (weights:6): of those only modules of its own package are kept"
    )
    assert f"loaded; {told['doubt']}" in " ".join(out.split())
