"""Postgres is away: the API says so at once, and takes the same request when it is back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.writing import rows


async def test_without_postgres_intake_answers_503_and_takes_the_same_later(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = EmbeddedPostgres(home)
    dsn = await server.start()
    await migrate(dsn)
    async with api(dsn, home, Role.API) as one:
        first = await one.post("/hooks/plain", {"a": 1})
        await server.stop()
        assert "takes no writes" in await database_note(one, ok=False)
        for path in ("/hooks/plain", "/api/v1/pipelines/sums/runs", "/api/v1/runs/1/cancel"):
            refused = await one.post(path, {})
            assert "Postgres" in problem(refused, 503)
            assert int(refused.headers["retry-after"]) >= 1
        for path in ("/api/v1/runs", "/api/v1/events", "/api/v1/triggers"):
            problem(await one.http.get(path), 503)
        assert (await one.http.get("/livez")).status_code == 200
        assert "tidemill_database_up 0" in (await one.http.get("/metrics")).text
        server = EmbeddedPostgres(home)
        assert await server.start() == dsn
        assert await database_note(one, ok=True) == ""
        again = await one.post("/hooks/plain", {"a": 1})
        assert (first.status_code, again.status_code) == (202, 200)
        assert len(await rows(dsn, "select from runs")) == 1
    await server.stop()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


async def database_note(one: Api, *, ok: bool) -> str:
    """Wait until the writer has noticed, and return what `/readyz` says of the database."""
    async with asyncio.timeout(15):
        while (one.daemon.writer.outage is None) is not ok:
            await asyncio.sleep(0.02)
    answer = await one.http.get("/readyz")
    assert answer.status_code == (200 if ok else 503)
    note: str = answer.json()["checks"]["database"]["note"]
    return note
