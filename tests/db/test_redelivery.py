"""What GitHub says it delivered, over real HTTP, against the inbox: what has no event, and asking for it again."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.cli.redelivery import compare_deliveries
from service.deliveries import GitHubDeliveries, ProviderRefused
from service.errors import Invalid
from service.settings import Role
from tests.db.api import SECRET, Api, api
from tests.db.receiver import Answer, Receiver, Request, receiver

BODY = b'{"ref": "refs/heads/main"}'
PATH = "/repos/acme/flights/hooks/1/deliveries"


@pytest.fixture
async def mill(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with api(database, tmp_path, Role.API) as one:
        yield one


@pytest.fixture
async def github() -> AsyncIterator[Receiver]:
    async with receiver() as one:
        yield one


async def deliver(one: Api, guid: str) -> None:
    signature = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    headers = {"content-type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": guid}
    answer = await one.http.post("/hooks/signed", content=BODY, headers={**headers, "X-Hub-Signature-256": signature})
    assert answer.status_code == 202, answer.text


def told(number: int, guid: str, *, hours_ago: float, event: str = "push", status: int = 202) -> dict[str, Any]:
    at = (datetime.now(UTC) - timedelta(hours=hours_ago)).isoformat().replace("+00:00", "Z")
    return {"id": number, "guid": guid, "delivered_at": at, "event": event, "status_code": status, "status": "OK"}


def pages(url: str, *each: list[dict[str, Any]]) -> Any:
    """Answers as GitHub does, a page at a time, and 202 to whoever wants one again."""

    def answer(request: Request) -> Answer:
        if request.method == "POST":
            return 202, {}, b"{}"
        number = int(request.path.rpartition("&page=")[2]) if "&page=" in request.path else 0
        following = (
            {"Link": f'<{url}{PATH}?per_page=100&page={number + 1}>; rel="next"'} if number + 1 < len(each) else {}
        )
        return 200, {"Content-Type": "application/json", **following}, json.dumps(each[number]).encode()

    return answer


async def test_a_delivery_that_nobody_took_is_found_and_asked_for_again(
    mill: Api, github: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", "t0ken")
    await deliver(mill, "a")
    github.answer_to = pages(
        github.url,
        [told(9, "lost", hours_ago=1, status=503), told(8, "a", hours_ago=2)],
        [told(7, "lost", hours_ago=3, status=0), told(6, "hello", hours_ago=4, event="ping")],
        [told(5, "ancient", hours_ago=90)],
    )
    name = "sums/webhook:signed"
    given = (mill.client, name, github.url + PATH, "A_TOKEN", None, None)
    found = await mill.call(compare_deliveries, *given, repair=False)
    assert (found["differences"], found["triggers"][0]["checked"]) == (1, 2)
    [lack] = found["triggers"][0]["lacks"]
    assert lack["what"].startswith("delivery lost (push, ")
    assert lack["why"] == "it was answered 503"
    assert {one.method for one in github.requests} == {"GET"}
    assert {one.headers["authorization"] for one in github.requests} == {"Bearer t0ken"}

    await mill.call(compare_deliveries, *given, repair=True)
    assert [one.path for one in github.requests if one.method == "POST"] == [f"{PATH}/9/attempts"]
    await deliver(mill, "lost")
    assert (await mill.call(compare_deliveries, *given, repair=False))["differences"] == 0


async def test_a_provider_that_refuses_says_so_without_the_token(mill: Api, github: Receiver) -> None:
    since = datetime.now(UTC) - timedelta(days=1)
    for status, said in ((404, "may administer the hook"), (500, "answers 500")):
        github.answers = [(status, {}, b"{}")]
        provider = GitHubDeliveries(github.url + PATH, "s3cret")
        with pytest.raises(ProviderRefused, match=said) as refused:
            await mill.call(provider.listed, since, datetime.now(UTC))
        assert "s3cret" not in str(refused.value)
    github.answers = [
        (200, {"Link": '<http://elsewhere.example/x>; rel="next"'}, json.dumps([told(1, "a", hours_ago=1)]).encode())
    ]
    with pytest.raises(ProviderRefused, match="another host"):
        await mill.call(GitHubDeliveries(github.url + PATH, "s3cret").listed, since, datetime.now(UTC))
    with pytest.raises(ProviderRefused, match="does not answer"):
        await mill.call(GitHubDeliveries("http://127.0.0.1:9" + PATH).listed, since, datetime.now(UTC))


async def test_only_webhooks_have_deliveries(mill: Api) -> None:
    with pytest.raises(Invalid, match="sums/webhook:plain"):
        await mill.call(
            compare_deliveries, mill.client, "sums/cloudevents", "http://x/y", "X", None, None, repair=False
        )
    with pytest.raises(Invalid, match=r"api\.github\.com"):
        GitHubDeliveries("ftp://x")
