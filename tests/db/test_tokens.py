"""Tokens of the API: shown once, kept as a digest, refused at once when they stand no more."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from service.callers import Right, Via
from service.db.tokens import PutToken, RevokeToken
from service.known_tokens import AGAIN_S, FRESH_S, NOTED_S, KnownTokens, digest_of, new_token
from service.model import RunState
from service.settings import Role
from stages.secrets import Secrets
from tests.db.api import Api, api, problem
from tests.db.test_access_roles import ADMIN, TOKEN, sign_in
from tests.db.writing import rows


async def made(one: Api, name: str, **more: object) -> str:
    answer = await one.post("/api/v1/tokens", {"name": name, "roles": ["viewer"], **more}, headers=ADMIN)
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_is_told_once_and_only_its_digest_is_kept(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        token = await made(one, "ci")
        listed = await one.http.get("/api/v1/tokens", headers=ADMIN)
        [row] = await rows(database, "select * from api_tokens")
        everything = await rows(
            database, "select t::text from api_tokens t union all select convert_from(entries, 'utf8') from run_log"
        )
    assert token.startswith("tm_")
    assert row["digest"] == hashlib.sha256(token.encode()).digest()
    assert token.startswith(row["prefix"])
    assert len(row["prefix"]) == 9
    assert token not in listed.text
    assert not any(token in str(one[0]) for one in everything)
    assert listed.json()["tokens"][0]["state"] == "valid"
    assert Secrets().mask(f"the token {token} was used") == "the token *** was used"


async def test_tokens_differ_and_are_256_random_bits() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert {len(new_token()) for _ in range(20)} == {len("tm_") + 43}


async def test_a_revoked_token_opens_nothing_in_any_daemon(database: str, tmp_path: Path) -> None:
    async with (
        api(database, tmp_path, Role.API, api_token=TOKEN) as one,
        api(database, tmp_path, Role.API, api_token=TOKEN) as other,
    ):
        token = await made(one, "ci")
        await sign_in(other, bearer(token))
        for daemon in (one, other):
            assert (await daemon.http.get("/api/v1/runs", headers=bearer(token))).status_code == 200
        assert (await other.http.get("/")).status_code == 200
        assert (await one.http.delete("/api/v1/tokens/ci", headers=ADMIN)).status_code == 200
        assert "stands" in problem(await one.http.get("/api/v1/runs", headers=bearer(token)), 401)
        await heard(other, token)
        problem(await other.http.get("/"), 401)
        problem(await one.http.delete("/api/v1/tokens/ci", headers=ADMIN), 404)
        # Its name may be given again.
        assert await made(one, "ci") != token
        problem(await one.post("/api/v1/tokens", {"name": "ci", "roles": ["admin"]}, headers=ADMIN), 409)


async def heard(other: Api, token: str) -> None:
    """Ask until the notification has come: well before what is known would be read again by its age."""
    began = other.daemon.clock.now()
    while (await other.http.get("/api/v1/runs", headers=bearer(token))).status_code != 401:
        assert (other.daemon.clock.now() - began).total_seconds() < FRESH_S / 2


async def test_a_token_ends_when_it_was_to_end(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        token, lasting = await made(one, "brief", expires_s=3600), await made(one, "lasting", expires_s=None)
        now = [0.0]
        known = KnownTokens(one.daemon.reads, one.daemon.writer, lambda: now[0])
        for given in (token, lasting):
            assert await known.holder(given)
        known._read_at = now[0] = 3000.0
        assert await known.holder(token)
        # However old it is in the table: the daemon reckons by what it read.
        known._read_at = now[0] = 3601.0
        assert await known.holder(token) is None
        await rows(database, "update api_tokens set expires_at = now() - interval '1 s' where name = 'brief'")
        known.hear()
        assert await known.holder(token) is None
        assert await known.holder(lasting)
        listed = (await one.http.get("/api/v1/tokens", headers=ADMIN)).json()["tokens"]
    states = {row["name"]: row["state"] for row in listed}
    assert states == {"brief": "expired", "lasting": "valid"}


async def test_requests_cost_no_query_while_what_is_known_is_fresh(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        token = await made(one, "ci")
        now, read = [0.0], []
        known = KnownTokens(one.daemon.reads, one.daemon.writer, lambda: now[0])
        fetch = one.daemon.reads.fetch

        async def counted(name: str, *arguments: object) -> object:
            read.append(name)
            return await fetch(name, *arguments)

        one.daemon.reads.fetch = counted  # type: ignore[assignment, method-assign]
        for _ in range(100):
            found = await known.holder(token)
            assert found is not None
            assert (found[1].name, found[1].via, found[1].rights) == ("ci", Via.NAMED, frozenset({Right.VIEWER}))
        assert read == ["standing_tokens"]
        # Guessing costs a query a second at most.
        for _ in range(100):
            assert await known.holder(new_token()) is None
        assert len(read) == 1
        now[0] += AGAIN_S * 1.1
        for _ in range(100):
            assert await known.holder(new_token()) is None
        assert len(read) == 2
        now[0] += FRESH_S * 1.1
        await known.holder(token)
        assert len(read) == 3


async def test_when_a_token_was_last_used_is_written_seldom(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        token = await made(one, "ci")
        now = [0.0]
        known = KnownTokens(one.daemon.reads, one.daemon.writer, lambda: now[0])
        written: list[object] = []
        later = one.daemon.writer.later
        one.daemon.writer.later = lambda *operations: (written.extend(operations), later(*operations))  # type: ignore[method-assign, assignment, func-returns-value]
        for _ in range(50):
            await known.holder(token)
        assert len(written) == 1
        now[0] += NOTED_S
        for _ in range(50):
            await known.holder(token)
        assert len(written) == 2
        await one.daemon.writer.drained()
        [row] = await rows(database, "select last_used_at from api_tokens")
        assert row["last_used_at"] is not None


async def test_made_or_revoked_twice_by_a_repeated_flush_is_once(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        put = PutToken("ci", digest_of(new_token()), "tm_abcdef", ["viewer"], [], "kim", None)
        [first] = await one.daemon.writer.submit(put)
        [again] = await one.daemon.writer.submit(put)
        assert first["id"] == again["id"]
        [ended] = await one.daemon.writer.submit(RevokeToken("ci", "kim"))
        assert ended == first["id"]
        assert await one.daemon.writer.submit(RevokeToken("ci", "kim")) == [None]


WRONG = [
    {"name": "x", "roles": []},
    {"name": "x", "roles": ["root"]},
    {"name": "", "roles": ["viewer"]},
    *({"name": name, "roles": ["viewer"]} for name in ("api", "API", "local", "token", "api_token", "nobody", "link")),
    *({"name": name, "roles": ["viewer"]} for name in ("../x", "a/b", ".ssh", "a\tb", "a<b", "a\u202eb", "-x", "x,y")),
    {"name": "x", "roles": ["approver"]},
    {"name": "x", "roles": ["viewer"], "pipelines": ["sums"]},
    {"name": "x", "roles": ["viewer"], "expires_s": 0},
]


@pytest.mark.parametrize("body", WRONG)
async def test_what_makes_no_token_says_why(database: str, tmp_path: Path, body: dict[str, object]) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        problem(await one.post("/api/v1/tokens", body, headers=ADMIN), 422)


async def test_people_and_programs_keep_their_names(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        for name in ("ci", "kim@example.com", "Jürgen K. Ono", "build-2_x+y", "7"):
            await made(one, name)
        answer = await one.post("/api/v1/tokens", {"name": "a/b", "roles": ["viewer"]}, headers=ADMIN)
        assert problem(answer, 422).startswith("name: a name has letters, digits, spaces and . _ - + @")


async def test_on_this_machine_a_token_counts_where_it_is_shown(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        token = await made(one, "ci")
        assert (await one.post("/api/v1/pauses", {"what": "sums"})).status_code == 200
        problem(await one.post("/api/v1/pauses", {"what": "sums"}, headers=bearer(token)), 403)
        problem(await one.http.get("/api/v1/runs", headers=bearer(token[:-1])), 401)
        # A token for elsewhere is none of ours.
        assert (await one.http.get("/api/v1/runs", headers=bearer("other"))).status_code == 200


async def ended(one: Api, path: str, headers: dict[str, str], begun: asyncio.Event) -> None:
    """Listen until the daemon ends it."""
    async with one.http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        async for _ in answer.aiter_bytes():
            begun.set()


@pytest.mark.parametrize("path", ["/api/v1/stream", "/api/v1/runs/{run}/logs?follow=true"])
@pytest.mark.parametrize("by_browser", [False, True])
async def test_a_stream_ends_with_the_token_that_opened_it(
    database: str, tmp_path: Path, path: str, by_browser: bool
) -> None:
    async with api(database, tmp_path, api_token=TOKEN) as one:
        one.http.headers.update(ADMIN)
        run = await one.start("gated", RunState.WAITING)
        del one.http.headers["Authorization"]
        headers, begun = bearer(await made(one, "ci")), asyncio.Event()
        if by_browser:
            await sign_in(one, headers)
            headers = {}
        stays, going = asyncio.Event(), asyncio.create_task(ended(one, path.format(run=run), headers, begun))
        other = asyncio.create_task(ended(one, path.format(run=run), ADMIN, stays))
        await asyncio.gather(begun.wait(), stays.wait())
        assert (await one.http.delete("/api/v1/tokens/ci", headers=ADMIN)).status_code == 200
        await asyncio.wait_for(going, 5)
        assert not other.done()
        assert (await one.http.get(path.format(run=run), headers=headers)).status_code == 401
        other.cancel()
        await asyncio.wait([other])


async def test_a_stream_ends_when_its_token_is_over(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN) as one:
        headers = bearer(await made(one, "ci", expires_s=60))
        begun = asyncio.Event()
        going = asyncio.create_task(ended(one, "/api/v1/stream", headers, begun))
        await begun.wait()
        await rows(database, "update api_tokens set expires_at = now() + interval '1 s', created_at = now()")
        await made(one, "another")  # of this the daemon hears, and so reads when that one is over
        await asyncio.wait_for(going, 8)
