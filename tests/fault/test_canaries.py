"""Canaries: a secret for each way that secrets enter, told by stages in every way, and then searched for everywhere."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import io
import os
import re
import secrets
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.embedded.postgres import packaged_programs
from tests.db.receiver import Receiver, receiver
from tests.db.writing import rows, until
from tests.fault.canaries import ITS_OWN
from tests.fault.daemons import ROOT, starting_daemon
from tests.fault.processes import descendants
from tests.fault.storm import free_port

PIPELINES = ("tests.fault.canaries:inline", "tests.fault.canaries:process")
MOST_PAGES = 150
WAYS = (
    *("api", "file_setting", "named_file", "registry", "sasl", "database", "hub", "lab", "jenkins", "status"),
    *("aws_key", "aws_session", "azure", "slack", "generic", "query"),
)


class Canaries:
    """One for each way in, and how each would look where it were found."""

    def __init__(self) -> None:
        self.of = {way: f"canary{way.replace('_', '')}{secrets.token_hex(8)}" for way in WAYS}
        self._forms = {way: list(_forms(value)) for way, value in (*self.of.items(), ("its_own", ITS_OWN))}

    def found_in(self, text: bytes) -> list[str]:
        return [way for way, forms in self._forms.items() if any(form in text for form in forms)]


def _forms(value: str) -> Iterator[bytes]:
    """As it is, in hex, in base64 wherever it begins there, and backwards."""
    plain = value.encode()
    yield from (plain, plain.hex().encode(), plain[::-1])
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + plain)
        yield encoded[4 if shift else 0 : -4]


def opened(data: bytes) -> bytes:
    """What is in it, where it is packed."""
    with suppress(OSError, EOFError):
        return data + gzip.decompress(data)
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
        return data + b"".join(archive.read(name) for name in archive.namelist())
    return data


def environment(canaries: Canaries, folder: Path, port: int, sink: str, dsn: str) -> dict[str, str]:
    """Every way in."""
    of = canaries.of
    (folder / "named").write_text(of["named_file"] + "\n")
    (folder / "lab").write_text(of["lab"] + "\n")
    (folder / "tidemill.toml").write_text(
        f'[lifecycle]\nurl = "{sink}/life?token={of["query"]}"\ntoken = "{of["file_setting"]}"\n'
        f'[http]\nlink_key = "file:{folder / "named"}"\n'
        f'[registry]\nurl = "http://127.0.0.1:1"\nusername = "mill"\npassword = "{of["registry"]}"\n'
    )
    return {
        "TIDEMILL_CONFIG": str(folder / "tidemill.toml"),
        "TIDEMILL_DATABASE_URL": dsn.replace("tidemill@", f"tidemill:{of['database']}@", 1),
        "TIDEMILL_API_TOKEN": of["api"],
        "TIDEMILL_HTTP_PORT": str(port),
        "TIDEMILL_ARTIFACTS": (folder / "artifacts").as_uri(),
        "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "TIDEMILL_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "TIDEMILL_KAFKA_SASL_MECHANISM": "PLAIN",
        "TIDEMILL_KAFKA_SASL_USERNAME": "mill",
        "TIDEMILL_KAFKA_SASL_PASSWORD": of["sasl"],
        "TIDEMILL_LOG_LEVEL": "debug",
        "CANARY_HUB": of["hub"],
        "CANARY_JENKINS": of["jenkins"],
        "CANARY_STATUS": of["status"],
        "TEST_LAB_FILE": str(folder / "lab"),
        "TEST_CODE_HOST": sink,
        "AWS_SECRET_ACCESS_KEY": of["aws_key"],
        "AWS_SESSION_TOKEN": of["aws_session"],
        "AZURE_STORAGE_ACCOUNT_KEY": of["azure"],
        "SLACK_WEBHOOK_URL": f"https://hooks.example.com/services/T0/B0/{of['slack']}",
        "MY_DB_PASSWORD": of["generic"],
    }


async def deliver(http: httpx.AsyncClient, of: Mapping[str, str]) -> None:
    """Hooks of each kind, rightly and wrongly signed; requests that are wrong in all sorts of ways."""
    commit = {"ref": "refs/heads/main", "after": "a" * 40, "repository": {"full_name": "a/b"}}
    body = b'{"ref": "refs/heads/main", "after": "%s", "repository": {"full_name": "a/b"}}' % (b"a" * 40)
    signed = {"X-Hub-Signature-256": "sha256=" + hmac.new(of["hub"].encode(), body, hashlib.sha256).hexdigest()}
    about = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1", "Content-Type": "application/json"}
    lab = {"X-Gitlab-Event": "Push Hook"}
    api = {"Authorization": f"Bearer {of['api']}"}
    answers = [
        await http.post("/hooks/hub", content=body, headers=about | signed),
        await http.post("/hooks/lab", json=commit, headers=lab | {"X-Gitlab-Token": of["lab"]}),
        await http.post(f"/hooks/jenkins?access_token={of['jenkins']}", json={"name": "job", "build": {}}),
        await http.post("/api/v1/pipelines/process/runs", json={}, headers=api),
    ]
    assert all(one.is_success for one in answers), [(one.status_code, one.text) for one in answers]
    refused = [
        await http.post("/hooks/hub", content=body, headers=about | {"X-Hub-Signature-256": "sha256=" + "0" * 64}),
        await http.post("/hooks/lab", json=commit, headers={"X-Gitlab-Token": of["lab"][:-1]}),
        await http.post(f"/hooks/jenkins?access_token={of['jenkins'][:-1]}", json={}),
        await http.get("/api/v1/runs", headers={"Authorization": f"Bearer {of['api']}x"}),
        await http.get("/api/v1/runs"),
    ]
    assert all(400 <= one.status_code < 500 for one in refused), [one.status_code for one in refused]


async def shown(http: httpx.AsyncClient) -> Iterator[tuple[str, bytes]]:
    """Every answer the API and the console give to whoever may see all."""
    told: dict[str, bytes] = {}
    document = (await http.get("/api/v1/openapi.json")).json()
    waiting = ["/", "/console", "/metrics", "/readyz", "/api/v1/nothing", "/hooks/none"]
    for run in range(1, 6):
        values = {"run": str(run), "pipeline": "inline", "stage": "inside", "name": "inline"}
        for path, methods in document["paths"].items():
            filled = re.sub(r"{(\w+)}", lambda found: values.get(found[1].removesuffix("_id"), str(run)), path)  # noqa: B023
            if "get" in methods and "stream" not in path and "follow" not in path:
                waiting.append(filled)
    for path in waiting:
        if path in told or len(told) > MOST_PAGES:
            continue
        with suppress(httpx.HTTPError):
            answer = await http.get(path, timeout=5)
            told[path] = answer.content + repr(answer.headers.raw).encode()
            if "html" in answer.headers.get("content-type", ""):
                waiting += re.findall(r'href="(/[^"#]*)"', answer.text)
    return iter(told.items())


async def command_lines(pid: int, seen: set[bytes], over: asyncio.Event) -> None:
    """What everybody on the machine may see of the daemon and of all that it starts."""
    while not over.is_set():
        for one in (pid, *descendants(pid)):
            with suppress(OSError):
                seen.add(Path(f"/proc/{one}/cmdline").read_bytes())
        await asyncio.sleep(0.05)


def tidemill(variables: Mapping[str, str], *arguments: str) -> bytes:
    """What a command says."""
    command = [sys.executable, "-c", "from service.cli.entry import main; main()", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=False)
    return done.stdout + done.stderr


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path), opened(path.read_bytes())


@pytest.mark.timeout(240)
async def test_no_secret_is_found_anywhere(database: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    canaries, port, folder = Canaries(), free_port(), tmp_path / "own"
    folder.mkdir()
    places: dict[str, bytes] = {}
    async with receiver() as sink:
        variables = environment(canaries, folder, port, sink.url, database)
        places |= await _run(canaries, variables, database, tmp_path, sink)
        places["sink"] = _without_what_is_due(sink, canaries)
        sent = {value for one in sink.requests for value in one.headers.values()}
    assert any(canaries.of["status"] in value for value in sent), "the status was never told"
    assert any(canaries.of["file_setting"] in value for value in sent), "no lifecycle event was told"
    output = capfd.readouterr()
    places["daemon"] = (output.out + output.err).encode()
    assert len(places["daemon"]) > 1000
    found = {place: ways for place, text in places.items() if (ways := canaries.found_in(text))}
    assert found == {}


def _without_what_is_due(sink: Receiver, canaries: Canaries) -> bytes:
    """What a sink was sent, but for the token and the address that are for it."""
    whole = "".join(f"{one.path} {one.headers} {one.body.decode()}\n" for one in sink.requests)
    return whole.replace(canaries.of["file_setting"], "").replace(canaries.of["status"], "").replace(
        canaries.of["query"], ""
    ).encode()  # fmt: skip


async def _run(
    canaries: Canaries, variables: dict[str, str], database: str, folder: Path, sink: Receiver
) -> dict[str, bytes]:
    """A daemon that is given all of it, and everywhere that something could be found."""
    places: dict[str, bytes] = {}
    seen: set[bytes] = set()
    over = asyncio.Event()
    roles = "api,triggers,executor"
    login = {"Authorization": f"Bearer {canaries.of['api']}"}
    async with (
        starting_daemon(database, folder, *PIPELINES, roles=roles, **variables) as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{variables['TIDEMILL_HTTP_PORT']}", timeout=30) as http,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(command_lines(process.pid, seen, over))
        await _ready(http)
        await deliver(http, canaries.of)
        await until(database, 90, "select count(*) = 4 from runs where state = 'failed'")
        await sink.got(1, lambda one: "/statuses/" in one.path)
        await sink.got(1, lambda one: one.path.startswith("/life"))
        http.headers.update(login)
        places |= {f"GET {path}": text for path, text in await shown(http)}
        places["config"] = tidemill(variables, "config") + tidemill(variables, "config", "--json")
        places["doctor"] = tidemill(variables, "doctor", "--deep")
        places["logs"] = tidemill(variables, "logs", "1") + tidemill(variables, "show", "1", "--json")
        over.set()
    assert len(places) > 20
    assert b"logged" in places["logs"], places["logs"]
    places["command lines"] = b"\n".join(seen)
    assert len(seen) > 1
    places["database"] = dump(database)
    assert b"printed" in places["database"] or b"printed".hex().encode() in places["database"]
    given = {folder / "own" / name for name in ("named", "lab", "tidemill.toml")}
    places |= {name: text for name, text in files(folder) if Path(name) not in given}
    assert await rows(database, "select from stage_logs limit 1")
    return places


async def _ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(httpx.HTTPError):
                if (await http.get("/livez")).is_success:
                    return
            await asyncio.sleep(0.1)


def dump(dsn: str) -> bytes:
    """Every row as text, what is binary in hex."""
    done: Any = subprocess.run([packaged_programs() / "pg_dump", dsn], capture_output=True, check=True)
    return bytes(done.stdout)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_looked_for_would_be_found(way: str) -> None:
    canaries = Canaries()
    value = canaries.of[way].encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("code.py", value)
    for text in (value, value.hex().encode(), base64.b64encode(b"Basic mill:" + value), gzip.compress(value)):
        assert canaries.found_in(opened(text)) == [way]
    assert canaries.found_in(opened(packed.getvalue())) == [way]
