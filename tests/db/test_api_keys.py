"""A POST that comes again with its `Idempotency-Key` is carried out once; what a caller has is not sent again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api import keys
from service.api.routes import ENDPOINTS
from service.model import RunState
from service.settings import Role
from tests.db.api import STRUCTURED, Api, api, cloudevent, hold, problem
from tests.db.test_api_description import HOURS, ticking
from tests.db.writing import rows
from triggers import faults

REPLAYED = "idempotency-replayed"


async def post(one: Api, path: str, body: Any = None, key: str = '"k"', **headers: str) -> httpx.Response:
    return await one.post(path, {} if body is None else body, headers={"Idempotency-Key": key, **headers})


async def test_a_repeat_is_told_the_first_answer_and_does_nothing(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("broken")
        first = await post(one, f"/api/v1/runs/{run}/resume", {"by": "kim"})
        again = await post(one, f"/api/v1/runs/{run}/resume", {"by": "kim"})
        bare = await post(one, f"/api/v1/runs/{run}/resume", {"by": "kim"}, key="k")
        other = problem(await post(one, f"/api/v1/runs/{run}/resume", {"by": "lee"}), 422)
        problem(await post(one, f"/api/v1/runs/{run}/cancel"), 422)
        actions = await rows(database, "select action from run_actions where run_id = $1", run)
    assert (first.status_code, REPLAYED in first.headers) == (202, False)
    for repeated in (again, bare):
        assert (repeated.status_code, repeated.headers[REPLAYED]) == (202, "true")
        assert repeated.content == first.content
        assert repeated.headers["content-type"] == first.headers["content-type"]
    assert "use another key" in other
    assert [row["action"] for row in actions] == ["resumed"]


async def test_a_refusal_did_nothing_and_may_be_mended_under_the_same_key(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("broken")
        problem(await post(one, f"/api/v1/runs/{run}/abandon", {}), 422)
        problem(await post(one, "/api/v1/runs/99/abandon", {"reason": "old"}), 404)
        mended = await post(one, f"/api/v1/runs/{run}/abandon", {"reason": "old"})
    assert mended.status_code == 200


async def test_a_key_is_free_once_its_refusal_is_told(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        faults.arm("freekey.commit=delay:0.2")
        try:
            problem(await post(one, "/api/v1/runs/99/abandon", {"reason": "old"}), 404)
            assert await rows(database, "select from idempotency_keys") == []
        finally:
            faults.arm("")


async def test_a_key_belongs_to_who_sends_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token="holder") as one:
        holder = {"Authorization": "Bearer holder"}
        made = {"name": "ci", "roles": ["operator"]}
        secrets = [await post(one, "/api/v1/tokens", made | {"name": name}, name, **holder) for name in ("a", "b")]
        names = [{"Authorization": f"Bearer {answer.json()['token']}"} for answer in secrets]
        told = [await post(one, "/api/v1/pauses", {"what": "sums"}, **shown) for shown in (holder, *names, names[0])]
        problem(await post(one, "/api/v1/pauses", {"what": "gated"}, **names[1]), 422)
        unkept = await rows(database, "select key from idempotency_keys where body is null")
    assert [(answer.status_code, REPLAYED in answer.headers) for answer in told] == [
        *((200, False), (200, False), (200, False), (200, True))
    ]
    assert {row["key"] for row in unkept} == {"a", "b"}


async def test_what_knows_its_key_for_good_knows_for_whom_and_for_what(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token="holder") as one:
        holder = {"Authorization": "Bearer holder"}
        made = await post(one, "/api/v1/tokens", {"name": "ci", "roles": ["operator"]}, "t", **holder)
        ci = {"Authorization": f"Bearer {made.json()['token']}"}
        first, again = [await post(one, "/api/v1/pipelines/sums/runs", **holder) for _ in range(2)]
        others = (
            ("/api/v1/pipelines/gated/runs", {}),
            ("/api/v1/pauses", {"what": "sums"}),
            ("/api/v1/fire", {"name": "x"}),
        )
        for path, body in (*others, ("/api/v1/pipelines/sums/runs", {"params": {"factor": 4}})):
            assert "another request" in problem(await post(one, path, body, **holder), 422)
        of_ci = [await post(one, "/api/v1/pipelines/sums/runs", **ci) for _ in range(2)]
        problem(await post(one, "/api/v1/tokens", {"name": "ci", "roles": ["operator"]}, "t", **holder), 409)
        told = problem(await post(one, "/api/v1/tokens", {"name": "other", "roles": ["admin"]}, "t", **holder), 422)
        # What was refused did nothing: its key is free.
        problem(await post(one, "/api/v1/pipelines/none/runs", key="free", **holder), 404)
        freed = await post(one, "/api/v1/pipelines/sums/runs", key="free", **holder)
        runs = await rows(database, "select id from runs")
    assert "another request" in told
    for once, repeated in ((first, again), of_ci):
        assert (once.status_code, REPLAYED in once.headers) == (202, False)
        assert (repeated.status_code, repeated.headers[REPLAYED]) == (200, "true")
        assert repeated.json()["events"][0]["runs"] == once.json()["events"][0]["runs"]
    assert of_ci[0].json()["events"][0]["runs"] != first.json()["events"][0]["runs"]
    assert (freed.status_code, len(runs)) == (202, 3)


@pytest.mark.parametrize("key", ["", '"', '"a" b', "x" * 1025, '""', "a b"])
async def test_what_is_no_key_is_refused(database: str, tmp_path: Path, key: str) -> None:
    async with api(database, tmp_path, Role.API) as one:
        told = [await post(one, path, key=key) for path in ("/api/v1/pauses", "/api/v1/pipelines/sums/runs")]
    assert ["Idempotency-Key" in problem(each, 400) for each in told] == [True, True]


async def test_the_second_hears_that_the_first_is_under_way(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def keep(*given: Any) -> None:
        begun.set()
        await go_on.wait()
        await as_ever(*given)

    as_ever = keys._keep
    monkeypatch.setattr(keys, "_keep", keep)
    async with api(database, tmp_path, Role.API) as one, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(post(one, "/api/v1/pauses", {"what": "sums"}))
        await begun.wait()
        second = await post(one, "/api/v1/pauses", {"what": "sums"})
        problem(await post(one, "/api/v1/pauses", {"what": "gated"}), 422)
        go_on.set()
        answer = await first
        third = await post(one, "/api/v1/pauses", {"what": "sums"})
    assert "still under way" in problem(second, 409)
    assert second.headers["retry-after"] == "1"
    assert third.content == answer.content


async def test_a_key_whose_daemon_died_is_free_for_the_same_request(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        await post(one, "/api/v1/pauses", {"what": "sums"})
        unfinished = "update idempotency_keys set status = null, headers = null, body = null, daemon = "
        await rows(database, f"{unfinished} (select id from daemons where state = 'alive')")
        problem(await post(one, "/api/v1/pauses", {"what": "sums"}), 409)
        await rows(database, f"{unfinished} -1")
        problem(await post(one, "/api/v1/pauses", {"what": "gated"}), 422)
        again = await post(one, "/api/v1/pauses", {"what": "sums"})
    assert (again.status_code, REPLAYED in again.headers) == (200, False)


async def test_old_keys_are_free_and_go_by_and_by(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for number in range(5):
            await post(one, "/api/v1/pauses", {"what": "sums"}, key=f"k{number}")
        await rows(database, "update idempotency_keys set taken_at = taken_at - interval '25 hours'")
        other = await post(one, "/api/v1/pauses", {"what": "gated"}, key="k4")
        await post(one, "/api/v1/pauses", {"what": "gated"}, key="k9")
        await post(one, "/api/v1/pauses", {"what": "gated"}, key="k10")
        left = await rows(database, "select key from idempotency_keys order by key")
    assert other.status_code == 200
    assert [row["key"] for row in left] == ["k10", "k4", "k9"]


async def test_what_is_too_long_or_secret_is_not_kept_but_made_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MOST_KEPT_BYTES", 10)
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        link = f"/api/v1/runs/{run}/gates/double/links"
        wanted = {"for": "kim", "decision": "approve"}
        links = [await post(one, link, wanted) for _ in range(2)]
        problem(await post(one, link, {**wanted, "for": "lee"}), 422)
        long = [await post(one, "/api/v1/pauses", {"what": "sums"}, key="long") for _ in range(2)]
        kept = await rows(database, "select body from idempotency_keys")
    assert [answer.status_code for answer in links] == [201, 201]
    assert links[0].json()["url"] != links[1].json()["url"]
    assert [REPLAYED in answer.headers for answer in (*links, *long)] == [False] * 4
    assert [row["body"] for row in kept] == [None, None]


async def test_events_may_carry_a_key_in_any_mode(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        first = await post(one, "/api/v1/events", cloudevent("1"), **STRUCTURED)
        again = await post(one, "/api/v1/events", cloudevent("1"), **STRUCTURED)
        problem(await post(one, "/api/v1/events", cloudevent("2"), **STRUCTURED), 422)
        binary = {"ce-specversion": "1.0", "ce-source": "/b", "ce-type": "sum"}
        one_more = await post(one, "/api/v1/events", {}, key="b", **binary, **{"ce-id": "1"})
        problem(await post(one, "/api/v1/events", {}, key="b", **binary, **{"ce-id": "2"}), 422)
    assert (first.status_code, again.status_code, one_more.status_code) == (202, 202, 202)
    assert again.content == first.content


async def test_one_backfill_for_one_key_even_where_its_answer_was_lost(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=(ticking,)) as one:
        first = await post(one, "/api/v1/backfills", HOURS)
        await rows(database, "delete from idempotency_keys")
        again = await post(one, "/api/v1/backfills", HOURS)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]


async def test_twenty_at_once_are_one(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("endless", RunState.RUNNING)
        told = await asyncio.gather(*(post(one, f"/api/v1/runs/{run}/cancel", {"by": "kim"}) for _ in range(20)))
        noted = await rows(database, "select * from run_actions where run_id = $1", run)
        hold.released.set()
    assert {answer.status_code for answer in told} <= {200, 409}
    assert [REPLAYED in answer.headers for answer in told if answer.status_code == 200].count(False) == 1
    assert len(noted) == 1


async def test_every_post_of_the_api_takes_a_key() -> None:
    posts = {each.path for each in ENDPOINTS if each.method == "POST" and not each.takes_key}
    assert posts == {"/hooks/{hook}", "/decide/{token}"}


async def test_what_is_the_same_is_answered_without_a_body(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("sums")
        for path in ("/api/v1/runs", f"/api/v1/runs/{run}", "/api/v1/pipelines", "/api/v1/openapi.json"):
            first = await one.http.get(path)
            tag = first.headers["etag"]
            for had in (tag, f'"x", W/{tag}', "*"):
                same = await one.http.get(path, headers={"If-None-Match": had})
                assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag), path
            assert (await one.http.get(path, headers={"If-None-Match": '"x"'})).status_code == 200
        listed = (await one.http.get("/api/v1/runs")).headers["etag"]
        await one.start("sums")
        changed = await one.http.get("/api/v1/runs", headers={"If-None-Match": listed})
        missing = await one.http.get("/api/v1/runs/99", headers={"If-None-Match": "*"})
    assert changed.status_code == 200
    problem(missing, 404)
