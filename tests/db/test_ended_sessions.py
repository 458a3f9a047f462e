"""Sessions of browsers that are ended: by whoever has them, by an admin, and by the provider."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.api.sessions import Sessions
from service.callers import Caller
from service.db.sessions import EndSessions
from service.known_sessions import FRESH_S, KnownSessions
from service.oidc import SIGNED_OUT, Provider
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.asking import tidemill
from tests.db.console import HTML, form_of, look, send
from tests.db.provider import Signer, signer
from tests.db.test_access_roles import ADMIN, TOKEN, sign_in, token
from tests.db.test_audit import log
from tests.db.test_oidc_sign_in import arrive, bearer, depart, settings
from tests.db.writing import rows

OUT = "/act/sign-out"


@pytest.fixture
def there() -> Iterator[Signer]:
    with signer() as one:
        yield one


@asynccontextmanager
async def browser(one: Api) -> AsyncIterator[Api]:
    """Another one, with no cookies yet."""
    async with httpx.AsyncClient(base_url=one.daemon.address, timeout=20) as http:
        yield replace(one, http=http)


async def enter(one: Api, there: Signer, **claims: Any) -> None:
    """Sign in by the provider."""
    there.also = claims
    asked = await depart(one)
    assert (await arrive(one, code=there.let_in(asked), state=asked["state"])).status_code == 303
    there.also = {}
    assert await is_in(one)


async def is_in(one: Api) -> bool:
    return (await one.http.get("/api/v1/runs")).status_code == 200


async def is_out_soon(one: Api) -> bool:
    """Well before what is known would be read again by its age."""
    until = time.monotonic() + FRESH_S / 2
    while await is_in(one):
        assert time.monotonic() < until
    return True


def telling(there: Signer, **claims: Any) -> dict[str, str]:
    told = {"events": {SIGNED_OUT: {}}, "groups": None, "preferred_username": None, **claims}
    return {"logout_token": there.token(**told)}


async def test_an_admin_ends_the_sessions_of_a_person_in_every_daemon(
    database: str, tmp_path: Path, there: Signer
) -> None:
    oidc = settings(there)
    async with (
        api(database, tmp_path, Role.API, api_token=TOKEN, oidc=oidc) as one,
        api(database, tmp_path, Role.API, api_token=TOKEN, oidc=oidc) as other,
        browser(other) as ann,
    ):
        await enter(one, there)
        await enter(other, there)
        await enter(ann, there, preferred_username="ann", sub="s-2")
        ended = (await one.http.delete("/api/v1/sessions/kim", headers=ADMIN)).json()
        assert ended["person"] == "kim"
        assert ended["signed_in_at"] is not None
        assert not await is_in(one)
        assert (await one.http.get("/runs", headers=HTML)).headers["location"].startswith("/sign-in")
        assert await is_out_soon(other)
        assert await is_in(ann)
        await enter(other, there)
        # By subject, too, whatever the name is by now.
        assert (await other.http.delete("/api/v1/sessions/s-1", headers=ADMIN)).status_code == 200
        assert not await is_in(other)
        nobody = (await one.http.delete("/api/v1/sessions/lee", headers=ADMIN)).json()
        assert nobody == {"person": "lee", "signed_in_at": None}
        assert await is_in(ann)
        everybody = await one.http.delete("/api/v1/sessions", headers=ADMIN)
        assert everybody.json()["person"] is None
        assert await is_out_soon(ann)
        entries = [row for row in await log(one) if row["action"].startswith("DELETE")]
        objects = [f"/api/v1/sessions{whose}" for whose in ("/kim", "/s-1", "/lee", "")]
        assert [(row["object"], row["answer"], row["via"]) for row in entries] == [
            (whose, 200, "api_token") for whose in objects
        ]


async def test_who_is_no_admin_ends_no_sessions_of_others(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        operator = await token(one, "sam", "operator", "viewer")
        for path in ("/api/v1/sessions", "/api/v1/sessions/kim"):
            assert "takes the role admin" in problem(await one.http.delete(path, headers=operator), 403)
        problem(await one.http.delete("/api/v1/sessions/%20", headers=ADMIN), 422)
        problem(await one.http.delete("/api/v1/sessions/" + "k" * 201, headers=ADMIN), 422)
        assert await rows(database, "select * from session_ends") == []


async def test_whoever_signs_out_everywhere_is_out_everywhere(database: str, tmp_path: Path, there: Signer) -> None:
    async with (
        api(database, tmp_path, Role.API, api_token=TOKEN, oidc=settings(there)) as one,
        browser(one) as second,
        browser(one) as third,
    ):
        for each in (one, second, third):
            await enter(each, there)
        assert (await send(one, OUT, form_of(await look(one, "/"), OUT) | {"where": ""})).status_code == 303
        assert [await is_in(each) for each in (one, second, third)] == [False, True, True]
        form = form_of(await look(second, "/"), OUT) | {"where": "everywhere"}
        # A form of another session ends nothing.
        assert (await send(third, OUT, form)).status_code == 403
        assert (await send(second, OUT, form)).status_code == 303
        assert [await is_in(each) for each in (one, second, third)] == [False, False, False]
        assert [(row["who"], row["action"]) for row in await log(one)][-1] == ("kim", f"POST {OUT}")
        await enter(third, there)
    # It is known to whoever comes later.
    async with api(database, tmp_path, Role.API, api_token=TOKEN, oidc=settings(there)) as later:
        later.http.cookies = second.http.cookies
        assert not await is_in(later)
        later.http.cookies = third.http.cookies
        assert await is_in(later)


async def test_sessions_by_tokens_are_ended_as_well(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one, browser(one) as other:
        await sign_in(one, await token(one, "kim", "viewer"))
        await sign_in(other, ADMIN, "boss")
        assert await one.call(one.client.end_sessions, "kim", by="boss")
        assert [await is_in(one), await is_in(other)] == [False, True]
        assert "over" in (await tidemill(one, "sessions", "end", "boss", token=TOKEN))[1]
        assert not await is_in(other)
        code, _, err = await tidemill(one, "sessions", "end", "lee", token=TOKEN)
        assert (code, "nobody called lee has signed in" in err) == (0, True)
        code, _, err = await tidemill(one, "sessions", "end", token=TOKEN)
        assert (code, "--everybody" in err) == (2, True)


async def test_a_stream_under_way_is_cut(database: str, tmp_path: Path, there: Signer) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN, oidc=settings(there)) as one:
        await enter(one, there)
        async with one.http.stream("GET", "/api/v1/stream") as stream:
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            assert await anext(lines)
            await one.call(one.client.end_sessions, "kim")
            began = time.monotonic()
            async for _ in lines:
                assert time.monotonic() - began < FRESH_S
        problem(await one.http.get("/api/v1/stream"), 401)


async def test_the_provider_ends_sessions(database: str, tmp_path: Path, there: Signer) -> None:
    oidc = settings(there)
    async with api(database, tmp_path, Role.API, api_token=TOKEN, oidc=oidc) as one, browser(one) as ann:
        await enter(one, there)
        await enter(ann, there, preferred_username="ann", sub="s-2")
        for wrong in (
            telling(there, events=None),
            telling(there, events={"other": {}}),
            telling(there, nonce="n"),
            telling(there, aud="other-program"),
            telling(there, exp=1),
            telling(there, sub=None),
            {"logout_token": there.token()},
            {"logout_token": "x"},
            {},
        ):
            problem(await one.http.post("/sign-in/ended", data=wrong), 400)
        assert await is_in(one)
        told = await one.http.post("/sign-in/ended", data=telling(there))
        assert (told.status_code, told.headers["cache-control"], told.content) == (200, "no-store", b"")
        assert [await is_in(one), await is_in(ann)] == [False, True]
        entry = (await log(one))[-1]
    assert (entry["action"], entry["via"], entry["known_as"]) == ("POST /sign-in/ended", "oidc", "s-1")


async def test_a_logout_token_lets_nobody_in(database: str, tmp_path: Path, there: Signer) -> None:
    oidc = settings(there, name_claim="sub")
    async with api(database, tmp_path, Role.API, oidc=oidc) as one:
        assert (await one.http.get("/api/v1/runs", headers=bearer(there.token()))).status_code == 200
        given = bearer(telling(there, groups=["ml"])["logout_token"])
        assert "lets nobody in" in problem(await one.http.get("/api/v1/runs", headers=given), 401)


async def test_what_is_ended_while_somebody_signs_in_ends_that_too(
    database: str, tmp_path: Path, there: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api(database, tmp_path, Role.API, oidc=settings(there)) as one:
        exchanged = Provider.exchanged

        async def meanwhile(provider: Provider, *given: str) -> Caller:
            found = await exchanged(provider, *given)
            await one.daemon.writer.submit(EndSessions("kim", "boss"))
            return found

        monkeypatch.setattr(Provider, "exchanged", meanwhile)
        asked = await depart(one)
        assert (await arrive(one, code=there.let_in(asked), state=asked["state"])).status_code == 303
        assert await is_out_soon(one)


async def test_requests_cost_no_query_and_an_older_daemon_reads_the_cookie(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        now = [1000.0]
        known = KnownSessions(one.daemon.reads, lambda: now[0])
        assert await known.ends() == {}
        await one.daemon.writer.submit(EndSessions("kim", "boss"))
        assert await known.ends() == {}
        known.hear()
        assert await known.ends() == {"kim": 1}
        await one.daemon.writer.submit(EndSessions("kim", "boss"))
        assert await known.ends() == {"kim": 1}
        now[0] += FRESH_S + 1
        assert await known.ends() == {"kim": 2}
    sessions = Sessions(TOKEN, "i", secure=False)
    begun = sessions.begin("kim", signed_in=True)
    for session in (begun, replace(begun, generation=3)):
        cookie = sessions.cookie(session).partition(";")[0]
        scope = {"headers": [(b"cookie", cookie.encode())]}
        read = sessions.of(scope)
        assert read is not None
        assert (read.id, read.generation) == (session.id, session.generation)
        body = orjson.loads(urlsafe_b64decode(cookie.partition("=")[2].partition(".")[0]))
        assert ("generation" in body) == bool(session.generation)
