"""Who may ask: with a token whoever has it, without one only this machine's own programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.api.server import ApiServer
from service.client import Client, DaemonUnavailable
from service.errors import ConfigError
from service.lent_token import lent_token
from service.settings import Http, Role
from tests.db.api import STRUCTURED, api, cloudevent, problem
from tests.db.daemons import daemon, settings
from tests.db.test_api_intake import signed

TOKEN = "a-long-random-text"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def test_with_a_token_only_health_and_signed_hooks_are_open(database: str, tmp_path: Path) -> None:
    body = b'{"a":1}'
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        for path in ("/livez", "/readyz"):
            assert (await one.http.get(path)).status_code == 200
        assert (await one.http.post("/hooks/signed", content=body, headers=signed(body))).status_code == 202
        closed = ["/", "/metrics", "/api/v1/runs", "/api/v1/openapi.json", "/api/v1/nothing"]
        for path in closed:
            refused = await one.http.get(path)
            assert "Bearer" in problem(refused, 401)
            assert refused.headers["www-authenticate"] == 'Bearer realm="tidemill"'
        problem(await one.post("/hooks/plain", {}), 401)
        problem(await one.post("/api/v1/events", cloudevent(), headers=STRUCTURED), 401)
        for path in closed[:-1]:
            assert (await one.http.get(path, headers=BEARER)).status_code == 200
        problem(await one.http.get(closed[-1], headers=BEARER), 404)
        assert (await one.post("/hooks/plain", {}, headers=BEARER)).status_code == 202
        assert await one.call(one.client.pipelines)


async def test_what_stages_are_lent_is_for_the_models_alone(database: str, tmp_path: Path) -> None:
    """A stage may be in a container because nobody trusts it."""
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        lent = one.daemon.ground.lending.api()
        assert lent == (one.daemon.address, lent_token(TOKEN.encode()))
        given = {"Authorization": f"Bearer {lent_token(TOKEN.encode())}"}
        version: dict[str, Any] = {"artifacts": {}, "metrics": {}, "lineage": {}, "run_id": None, "pipeline": "p"}
        made = await one.post("/api/v1/models/m/versions", version, headers=given | {"Idempotency-Key": "k"})
        assert made.status_code == 201
        moved = await one.http.put("/api/v1/models/m/aliases/a", json={"version": 1, "expect": None}, headers=given)
        assert moved.status_code == 200
        assert (await one.http.get("/api/v1/models/m/aliases/a", headers=given)).json()["version"] == 1
        for path in ("/", "/api/v1/runs", "/api/v1/models", "/api/v1/tokens", "/api/v1/audit", "/metrics"):
            assert "stages are lent" in problem(await one.http.get(path, headers=given), 403)
        problem(await one.post("/hooks/plain", {}, headers=given), 403)
        problem(await one.post("/api/v1/pipelines/sums/runs", {}, headers=given), 403)
        problem(
            await one.post(
                f"/api/v1/events?access_token={lent_token(TOKEN.encode())}", cloudevent(), headers=STRUCTURED
            ),
            403,
        )
        form = {"api_token": lent_token(TOKEN.encode()), "name": "kim", "next": "/"}
        assert (await one.http.post("/sign-in", data=form)).status_code == 401


WRONG = ("Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN} x", "Bearer \xe9", "")


async def test_a_wrong_token_opens_nothing(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        for given in WRONG:
            refused = await one.http.get("/api/v1/runs", headers=[(b"authorization", given.encode("latin-1"))])
            problem(refused, 401)
            assert "invalid_token" in refused.headers["www-authenticate"], given


async def test_a_sender_of_events_may_give_the_token_in_the_address(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        events = f"/api/v1/events?access_token={TOKEN}"
        assert (await one.http.options(events)).status_code == 204
        assert (await one.post(events, cloudevent(), headers=STRUCTURED)).status_code == 202
        problem(await one.http.get(f"/api/v1/runs?access_token={TOKEN}"), 401)


def stranger(**headers: str) -> Mapping[str, str]:
    return headers


STRANGE_HOSTS = ("evil.example", "127.0.0.1.evil.example", "169.254.1.1:8400", "[::2]", "x@localhost")


async def test_without_a_token_a_name_that_is_not_this_machines_is_refused(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for host in STRANGE_HOSTS:
            assert "TIDEMILL_API_TOKEN" in problem(await one.http.get("/api/v1/runs", headers=stranger(Host=host)), 403)
            assert (await one.http.get("/livez", headers=stranger(Host=host))).status_code == 200


async def test_without_a_token_this_machine_is_let_in_by_all_its_names(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for host in ("localhost", "LOCALHOST:99", "127.0.0.1", "127.1.2.3:1", "[::1]:8400", "mill.localhost"):
            assert (await one.http.get("/api/v1/runs", headers=stranger(Host=host))).status_code == 200


async def test_a_page_from_elsewhere_may_not_post(database: str, tmp_path: Path) -> None:
    body = b'{"a":1}'
    async with api(database, tmp_path, Role.API) as one:
        for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://[", ""):
            for path in ("/api/v1/pipelines/sums/runs", "/hooks/plain"):
                assert "page" in problem(await one.post(path, {}, headers=stranger(Origin=origin)), 403)
        own = one.daemon.address
        assert (await one.post("/api/v1/pipelines/sums/runs", headers=stranger(Origin=own))).status_code == 202
        # Who signs need not come from here.
        proved = {**signed(body), "Origin": "https://github.com", "Host": "tunnel.example"}
        assert (await one.http.post("/hooks/signed", content=body, headers=proved)).status_code == 202


async def test_an_address_that_is_taken_is_an_error_that_says_what_to_do(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        port = urlsplit(one.daemon.address).port
        for http, told in ((Http(port=port), "another port"), (Http(host="192.0.2.1", port=0), "192.0.2.1")):
            async with daemon(settings(database, tmp_path)) as other:
                object.__setattr__(other.settings, "http", http)
                with pytest.raises(ConfigError, match=told):
                    await ApiServer(other).open()


async def test_the_command_says_so_in_one_line(database: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TIDEMILL_DATABASE_URL": database, "TIDEMILL_HOME": str(tmp_path)}
    async with api(database, tmp_path, Role.API) as one:
        port = str(urlsplit(one.daemon.address).port)
        command = [sys.executable, "-c", "from service.cli.main import main; main()", "serve", "--port", port]
        serve = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
        _, said = await serve.communicate()
    assert serve.returncode == 2
    [line] = [each for each in said.decode().splitlines() if each.startswith("tidemill:")]
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert b"Traceback" not in said


def test_the_client_says_how_to_start_a_daemon_that_is_not_there() -> None:
    with pytest.raises(DaemonUnavailable, match=r"http://127.0.0.1:9 .*tidemill up"):
        Client("http://127.0.0.1:9").runs()
    with pytest.raises(ConfigError, match="TIDEMILL_URL"):
        Client("localhost:8400")
