"""`tidemill notify`, and the curl line of the documents, against a daemon with a token."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stages import Pipeline
from tests.db.api import Api, add, api, breaks
from tests.db.writing import rows
from triggers.cloudevents import CloudEvents
from triggers.signatures import Bearer
from triggers.webhook import Webhook

TOKEN = "the-api-token"
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_PATH": "acme/ml",
    "CI_COMMIT_SHA": "a" * 40,
    "CI_COMMIT_BRANCH": "main",
    "CI_PIPELINE_ID": "5",
    "CI_JOB_ID": "9",
    "CI_JOB_NAME": "test",
    "CI_JOB_STATUS": "success",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.md"
MAIN = {"type": "dev.tidemill.ci", "data.branch": "main"}
good = Pipeline("good", [add], on=[CloudEvents(where=MAIN | {"data.status": "success"})])
bad = Pipeline("bad", [breaks], on=[CloudEvents(where=MAIN | {"data.status": "failure"})])
hooked = Pipeline("hooked", [add], on=[Webhook("ci", verify=Bearer("hook-token"))])


@asynccontextmanager
async def notified(database: str, folder: Path) -> AsyncIterator[Api]:
    async with api(database, folder, pipelines=(good, bad, hooked), api_token=TOKEN) as one:
        yield one


async def run(one: Api, *command: str, **variables: str) -> tuple[int, str]:
    environment = {"PATH": os.environ["PATH"], "TIDEMILL_URL": one.daemon.address, "TIDEMILL_API_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment | GITLAB | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        told, _ = await process.communicate()
    return process.returncode or 0, told.decode()


def notify(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from service.cli.entry import main; main()", "notify", *arguments]


async def test_a_job_that_is_told_twice_is_one_run_and_waits_for_it(database: str, tmp_path: Path) -> None:
    async with notified(database, tmp_path) as one:
        for _ in range(2):
            code, told = await run(one, *notify("--wait"))
            assert (code, "run 1 succeeded" in told) == (0, True), told
        code, told = await run(one, *notify("--wait", "--status", "1"))
        assert (code, " failed after " in told) == (1, True), told
        code, told = await run(one, *notify("--wait"), CI_COMMIT_BRANCH="feature", CI_JOB_ID="10")
        assert (code, "ignored: filter" in told) == (0, True), told
        code, told = await run(one, *notify(), TIDEMILL_API_TOKEN="wrong")
        assert (code, "not the API token" in told) == (2, True), told
    found = await rows(database, "select type, subject, id from events order by seq")
    assert [tuple(row) for row in found][:2] == [
        ("dev.tidemill.ci", "acme/ml", "5/9/test/success"),
        ("dev.tidemill.ci", "acme/ml", "5/9/test/failure"),
    ]


async def test_what_was_told_before_is_said_to_be_and_what_is_new_is_a_run(database: str, tmp_path: Path) -> None:
    async with notified(database, tmp_path) as one:
        told = [await run(one, *notify("--data", f'{{"dataset": "{month}"}}')) for month in ("a", "b", "a")]
        assert [code for code, _ in told] == [0, 0, 0]
        assert ["run 1" in told[0][1], "run 2" in told[1][1], "run 1" in told[2][1]] == [True, True, True], told
        assert ["told before" in line for _, line in told] == [False, False, True]
        by_id = [await run(one, *notify("--id", "mine", "--data", f'"{month}"', "--json")) for month in ("a", "b")]
        assert ['"first": true' in line for _, line in by_id] == [True, False]
    stored = await rows(database, "select envelope from events order by seq limit 2")
    assert [json.loads(row["envelope"])["data"]["data"]["dataset"] for row in stored] == ["a", "b"]


async def test_a_job_may_know_the_token_of_its_hook_only(database: str, tmp_path: Path) -> None:
    async with notified(database, tmp_path) as one:
        for _ in range(2):
            code, told = await run(one, *notify("--hook", "ci"), HOOK_TOKEN="hook-token", TIDEMILL_API_TOKEN="")
            assert code == 0, told
    [row] = await rows(database, "select pipeline from runs")
    assert row["pipeline"] == "hooked"


async def test_the_curl_line_of_the_documents_starts_one_run(database: str, tmp_path: Path) -> None:
    [line] = re.findall(r"```sh\n(curl --fail.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    async with notified(database, tmp_path) as one:
        for _ in range(2):
            code, told = await run(one, "sh", "-c", line)
            assert code == 0, told
            assert '"runs":[1]' in told


async def test_the_daemon_may_come_later_than_the_job(database: str, tmp_path: Path, unused_port: int) -> None:
    address = f"http://127.0.0.1:{unused_port}"
    process = await asyncio.create_subprocess_exec(
        *notify("--url", address, "--patience", "60"),
        env={"PATH": os.environ["PATH"], "TIDEMILL_API_TOKEN": TOKEN, **GITLAB},
        stdout=asyncio.subprocess.PIPE,
    )
    await asyncio.sleep(1)
    async with api(database, tmp_path, pipelines=(good,), api_token=TOKEN, port=unused_port), asyncio.timeout(60):
        told, _ = await process.communicate()
    assert (process.returncode, told.decode()) == (0, "event 5/9/test/success: run 1\n")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
