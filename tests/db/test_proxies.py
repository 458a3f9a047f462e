"""Behind a proxy: who is believed when they tell where a request is from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from service.api.server import written
from service.api.tries import MOST
from service.model import RunState
from service.oidc_settings import Oidc
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.console import send
from tests.db.daemons import reached
from tests.db.provider import AUDIENCE, Signer, signer
from tests.db.test_access_roles import ADMIN, TOKEN
from tests.db.test_audit import log

CLAIMED, REAL, INNER = "203.0.113.9", "198.51.100.7", "10.1.2.3"
HEADER = "X-Forwarded-For"


@pytest.fixture
def there() -> Iterator[Signer]:
    with signer() as one:
        yield one


async def address(one: Api, *forwarded: str) -> str:
    """The address that the audit log has of a request with these headers."""
    headers = [*ADMIN.items(), *((HEADER, given) for given in forwarded)]
    assert (await one.http.post("/api/v1/pauses", json={"what": "sums"}, headers=headers)).status_code == 200
    return str((await log(one))[-1]["address"])


async def test_what_a_trusted_proxy_tells_counts_and_what_was_told_to_it_does_not(
    database: str, tmp_path: Path
) -> None:
    async with api(
        database, tmp_path, Role.API, api_token=TOKEN, trusted_proxies=("127.0.0.0/8", "10.1.0.0/16")
    ) as one:
        assert await address(one) == "127.0.0.1"
        assert await address(one, REAL) == REAL
        assert await address(one, f"{REAL}:4711") == REAL
        assert await address(one, f"{CLAIMED}, {REAL}, {INNER}") == REAL
        assert await address(one, CLAIMED, f"{REAL}, {INNER}") == REAL
        assert await address(one, "2001:db8::1") == "2001:db8::1"


@pytest.mark.parametrize("proxies", [(), ("10.1.2.3", "192.0.2.0/24")])
async def test_what_anybody_else_tells_does_not_count(proxies: tuple[str, ...], database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN, trusted_proxies=proxies) as one:
        assert await address(one, CLAIMED) == "127.0.0.1"
        assert await address(one, f"{CLAIMED}, 10.1.2.3") == "127.0.0.1"


async def test_who_fails_to_sign_in_is_told_apart_behind_a_proxy(database: str, tmp_path: Path) -> None:
    form = {"api_token": "wrong", "name": "", "next": "/"}
    async with api(database, tmp_path, Role.API, api_token=TOKEN, trusted_proxies=("127.0.0.1",)) as one:
        one.http.headers[HEADER] = CLAIMED
        for _ in range(MOST["address"]):
            assert (await send(one, "/sign-in", form)).status_code == 401
        assert (await send(one, "/sign-in", form)).status_code == 429
        one.http.headers[HEADER] = REAL
        assert (await send(one, "/sign-in", form)).status_code == 401


@pytest.mark.parametrize(
    ("proxies", "url", "told", "secure"),
    [
        (("127.0.0.1",), None, "https", True),
        (("127.0.0.1",), None, "http", False),
        (("127.0.0.1",), None, "https, http", False),
        (("10.1.2.3",), None, "https", False),
        ((), None, "https", False),
        ((), "https://mill.example", "http", True),
    ],
)
async def test_cookies_keep_to_tls_where_a_trusted_proxy_says_that_it_is_there(
    proxies: tuple[str, ...], url: str | None, told: str, secure: bool, database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, Role.API, api_token=TOKEN, trusted_proxies=proxies, public_url=url) as one:
        one.http.headers["X-Forwarded-Proto"] = told
        form = {"api_token": TOKEN, "name": "kim", "next": "/"}
        cookies = (await send(one, "/sign-in", form)).headers.get_list("set-cookie")
        asked = (await one.http.get("/sign-in")).headers.get_list("set-cookie")
    assert cookies
    assert [cookie.count("; Secure") for cookie in (*cookies, *asked)] == [int(secure)] * len((*cookies, *asked))


@pytest.mark.parametrize("proxies", [(), ("127.0.0.1",)])
async def test_where_links_lead_is_what_nobody_who_asks_can_say(
    proxies: tuple[str, ...], database: str, tmp_path: Path, there: Signer
) -> None:
    given = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example;proto=https", "Host": "evil.example"}
    oidc = Oidc(issuer=there.issuer, client_id=AUDIENCE)
    url = "https://mill.example"
    async with api(
        database, tmp_path, *Role, api_token=TOKEN, trusted_proxies=proxies, public_url=url, oidc=oidc
    ) as one:
        one.http.headers.update({**given, **ADMIN})
        away = (await one.http.get("/sign-in/provider")).headers["location"]
        assert parse_qs(urlsplit(away).query)["redirect_uri"] == [f"{url}/sign-in/callback"]
        run = (await one.post("/api/v1/pipelines/gated/runs", {})).json()["events"][0]["runs"][0]
        await reached(one.daemon, run, RunState.WAITING)
        asked = {"for": "kim", "decision": "approve"}
        link = (await one.post(f"/api/v1/runs/{run}/gates/add-double/links", asked)).json()
    assert "evil" not in away + str(link)
    assert f"{url}/decide/" in str(link)


FROM_AFAR = [
    {HEADER: REAL},
    {HEADER: f"127.0.0.1, {REAL}"},
    {HEADER: f"{REAL}, 127.0.0.1"},
    {HEADER: "[2001:db8::1]:80"},
    {"X-Real-IP": REAL},
    {"Forwarded": f"for=127.0.0.1;host=localhost, For={REAL};proto=https"},
    {"Forwarded": 'for="[2001:db8::1]:4711"'},
    {"Forwarded": "for=unknown"},
]


@pytest.mark.parametrize("told", FROM_AFAR)
async def test_without_a_token_a_local_proxy_lets_nobody_in(
    told: dict[str, str], database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, Role.API) as one:
        assert "set TIDEMILL_API_TOKEN" in problem(await one.http.get("/api/v1/runs", headers=told), 403)
        assert (await one.http.get("/", headers=told)).status_code == 403
        nearby = {HEADER: "127.0.0.1, [::1]:80", "Forwarded": 'for="[::1]:4711";proto=http'}
        assert (await one.http.get("/api/v1/runs", headers=nearby)).status_code == 200


@pytest.mark.parametrize("peer", ["10.0.0.5", "::ffff:10.0.0.5", "::ffff:192.0.2.77", "2001:db8::7"])
async def test_a_proxy_is_known_by_either_version_of_its_address(peer: str) -> None:
    seen: list[object] = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        seen.append(scope["client"])

    asked = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", REAL.encode())]}
    proxies = written(["10.0.0.5", "192.0.2.0/24", "2001:db8::/64"])
    await ProxyHeadersMiddleware(app, proxies)(asked, None, None)  # type: ignore[arg-type]
    assert seen == [(REAL, 0)]
