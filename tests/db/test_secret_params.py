"""Secrets among the parameters of runs: stages get them, the row of the run has them, and nothing else does."""

from __future__ import annotations

import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.embedded.postgres import packaged_programs
from service.model import RunState
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.console import form_of, look, send
from tests.db.daemons import reached
from tests.db.secret_stages import PIPELINES
from tests.db.writing import rows
from tests.fault.test_canaries import files, shown, tidemill


class Canaries:
    """Values that are looked for everywhere."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def params(self, **more: Any) -> dict[str, Any]:
        """New ones, one for each kind of secret."""
        made = [f"canary{secrets.token_hex(8)}" for _ in range(4)]
        self.all += made
        token, key, marked, password = made
        return {"token": token, "key": key, "marked": marked, "login": {"user": "kim", "password": password}, **more}

    def found_in(self, text: bytes) -> list[str]:
        return [one for one in self.all if one.encode() in text or one.encode().hex().encode() in text]


async def test_only_the_run_has_them(database: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    canaries, places = Canaries(), dict[str, bytes]()
    async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=PIPELINES) as one:
        await _everything_done(one, canaries, places)
        places |= {f"GET {path}": text for path, text in await shown(one.http)}
        places |= await _said(one)
    dumped = _dump(database)
    places["database"] = re.sub(rb"(?ms)^COPY public\.runs .*?^\\\.$", b"", dumped)
    places |= dict(files(tmp_path))
    output = capfd.readouterr()
    # What an inline stage prints is the daemon's own output, as it is (docs/security.md).
    places["own log"] = re.sub(r"(?m)^printed .*$", "", output.out + output.err).encode()
    assert {place: found for place, text in places.items() if (found := canaries.found_in(text))} == {}
    # They were there: the runs have them, stages got them, and what stages told of them was kept.
    # Those of five runs as they stand now.
    assert len(canaries.found_in(dumped)) == 5 * 4
    everything = dumped + b"".join(places.values())
    for told in (b"asking with ***", b"refused *** *** *** ***", b"agreed to *** *** *** ***"):
        assert told in everything or told.hex().encode() in everything
    assert sum(b"asking with ***" in text for place, text in places.items() if place.startswith("GET")) > 2


async def _everything_done(one: Api, canaries: Canaries, places: dict[str, bytes]) -> None:
    """Runs that fail, are resumed with and without other secrets, replayed, compared; and requests that are wrong."""

    def told(name: str, answer: httpx.Response, *statuses: int) -> Any:
        assert answer.status_code in (statuses or (200, 202)), answer.text
        places[name] = answer.content
        return answer.json()

    for pipeline in ("inline_secrets", "process_secrets"):
        path = f"/api/v1/pipelines/{pipeline}/runs"
        for number, wrong in enumerate(({"works": "perhaps"}, {"token": [1]}, {"login": {"user": "x"}}, {"nope": 1})):
            given = {"params": canaries.params() | wrong}
            told(f"wrong {number}", await one.post(path, given), 422)
        first = canaries.params()
        run = told("start", await one.post(path, {"params": first}))["events"][0]["runs"][0]
        await reached(one.daemon, run, RunState.FAILED)
        other = canaries.params(works=True)
        resume = f"/api/v1/runs/{run}/resume"
        told("plan", await one.post(resume, {"by": "kim", "params": other, "dry_run": True}))
        told("resume", await one.post(resume, {"by": "kim", "params": other}))
        await reached(one.daemon, run, RunState.SUCCEEDED)
        second = told("another", await one.post(path, {"params": canaries.params(works=True)}))["events"][0]["runs"][0]
        await reached(one.daemon, second, RunState.SUCCEEDED)
        event = told("run", await one.http.get(f"/api/v1/runs/{run}"))["event"]["key"]
        replayed = told("replay", await one.post("/api/v1/replays", {"event": event, "by": "kim", "effects": True}))
        await reached(one.daemon, replayed["run"], RunState.SUCCEEDED)
        told("explain event", await one.post("/api/v1/explain", {"event": event}))
        told("event", await one.http.get(f"/api/v1/events/{event}"))
        for part in ("explain", "report", "report.html", f"diff/{second}", "logs", "events"):
            answer = await one.http.get(f"/api/v1/runs/{run}/{part}")
            assert answer.status_code == 200, answer.text
            places[f"{pipeline} {part}"] = answer.content
    handed = await one.post("/api/v1/pipelines/above_secrets/runs", {"params": canaries.params()})
    await reached(one.daemon, told("above", handed)["events"][0]["runs"][0], RunState.SUCCEEDED)


async def _said(one: Api) -> dict[str, bytes]:
    """What commands tell of it."""
    variables = {"TIDEMILL_URL": one.daemon.address, "NO_COLOR": "1"}
    asked = [
        *(("show", "1"), ("show", "1", "--json"), ("explain", "1"), ("report", "1"), ("diff", "1", "2"), ("logs", "1")),
        *(("runs",), ("runs", "--json"), ("audit",), ("reviews",), ("pipelines", "--json")),
    ]
    return {" ".join(command): await one.call(tidemill, variables, *command) for command in asked}


def _dump(dsn: str) -> bytes:
    return subprocess.run([packaged_programs() / "pg_dump", dsn], capture_output=True, check=True).stdout


async def test_what_changed_is_told_without_what_it_is(database: str, tmp_path: Path) -> None:
    canaries = Canaries()
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        first, second = canaries.params(), canaries.params()
        runs = [await one.start("inline_secrets", RunState.FAILED, **given) for given in (first, second, first)]
        names = ["key", "login", "marked", "token"]
        differing = (await one.http.get(f"/api/v1/runs/{runs[0]}/diff/{runs[1]}")).json()["params"]
        assert sorted(each["name"] for each in differing) == names
        assert {str(each["a"]) for each in differing if each["name"] != "login"} == {"***"}
        assert (await one.http.get(f"/api/v1/runs/{runs[0]}/diff/{runs[2]}")).json()["params"] == []
        explained = (await one.http.get(f"/api/v1/runs/{runs[1]}/explain")).json()
        changed = [each for told in explained["stages"] for each in told.get("changes", [])]
        assert sorted(each["name"] for each in changed if each["component"] == "params") == names
        assert canaries.found_in(str(explained).encode()) == []


async def test_resuming_with_the_mask_leaves_a_secret_as_it_is(database: str, tmp_path: Path) -> None:
    canaries = Canaries()
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        given = canaries.params()
        run = await one.start("inline_secrets", RunState.FAILED, **given)
        before = (await one.http.get(f"/api/v1/runs/{run}")).json()["params"]
        assert before == given | {
            "token": "***",
            "key": "***",
            "marked": "***",
            "works": False,
            "login": {"user": "kim", "password": "***"},
        }
        page = await look(one, f"/runs/{run}/resume?params=%7B%22works%22%3Atrue%2C%22token%22%3A%22***%22%7D")
        sent = await send(one, f"/act/runs/{run}/resume", form_of(page, f"/act/runs/{run}/resume") | {"by": "kim"})
        assert sent.status_code == 303, sent.text
        await reached(one.daemon, run, RunState.SUCCEEDED)
        [kept] = await rows(database, "select convert_from(params, 'utf8')::jsonb::text from runs where id = $1", run)
        assert sorted(canaries.found_in(kept[0].encode())) == sorted(canaries.all)
        told = problem(await one.post("/api/v1/pipelines/inline_secrets/runs", {"params": {"token": "***"}}), 422)
        assert "give its value" in told


async def test_a_key_is_used_again_for_the_same_start(database: str, tmp_path: Path) -> None:
    canaries = Canaries()
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        body = {"params": canaries.params(works=True), "id": "once"}
        answers = [await one.post("/api/v1/pipelines/inline_secrets/runs", body) for _ in range(2)]
        assert [each.json()["events"][0]["runs"] for each in answers] == [[1], [1]]
        assert await rows(database, "select count(*) from runs") == [(1,)]
