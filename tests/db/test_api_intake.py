"""Webhooks and CloudEvents over HTTP: answered once committed, refused with the reason."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import service.db.waiting
from service.db.retention import removing
from service.settings import Role
from stages import Pipeline
from tests.db.api import BATCH, JSON, SECRET, STRUCTURED, Api, add, api, cloudevent, problem
from tests.db.writing import rows
from triggers.signatures import Bearer, GitHub
from triggers.webhook import Webhook


def signed(body: bytes, delivery: str = "d1", event: str = "push") -> dict[str, str]:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {
        **JSON,
        "X-Hub-Signature-256": f"sha256={signature}",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": event,
    }


async def test_a_cloudevent_is_accepted_and_its_repeat_answers_200_with_the_first_run(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, Role.API) as one:
        body = cloudevent(data={"factor": 3})
        first = await one.post("/api/v1/events", body, headers=STRUCTURED)
        again = await one.post("/api/v1/events", body, headers=STRUCTURED)
    assert (first.status_code, again.status_code) == (202, 200)
    [told], [told_again] = first.json()["events"], again.json()["events"]
    assert (told, told_again["first"]) == ({**told_again, "first": True}, False)
    [event] = first.json()["events"]
    assert (event["id"], event["source"], event["fate"], event["reason"]) == ("1", "/tests", "ran", "")
    [outcome] = event["outcomes"]
    assert event["runs"] == [outcome["run"]]
    [row] = await rows(database, "select id, pipeline, params from runs")
    assert (row["id"], row["pipeline"], row["params"]) == (event["runs"][0], "sums", b'{"factor":3}')


async def test_what_nobody_wants_or_can_use_is_kept_with_its_fate(database: str, tmp_path: Path) -> None:
    batch = [cloudevent("1", "other"), cloudevent("2", data={"factor": "many"}), cloudevent("3")]
    async with api(database, tmp_path, Role.API) as one:
        answer = await one.post("/api/v1/events", batch, headers=BATCH)
        empty = await one.post("/api/v1/events", [], headers=BATCH)
    assert answer.status_code == 202
    assert [event["fate"] for event in answer.json()["events"]] == ["ignored", "dead", "ran"]
    assert "factor" in answer.json()["events"][1]["reason"]
    assert (empty.status_code, empty.json()) == (200, {"events": []})


async def test_without_a_listener_an_event_is_ignored_and_told_so(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=()) as one:
        answer = await one.post("/api/v1/events", cloudevent(), headers=STRUCTURED)
        told = (await one.http.get("/api/v1/events/1")).json()
    [event] = answer.json()["events"]
    assert (answer.status_code, event["fate"], event["runs"]) == (202, "ignored", [])
    assert event["reason"] == "no pipeline listens for this event"
    assert told["told"].endswith(event["reason"])


async def test_a_signed_delivery_starts_one_run_however_often_it_comes(database: str, tmp_path: Path) -> None:
    body = b'{"ref":"refs/heads/main"}'
    async with api(database, tmp_path, Role.API) as one:
        answers = await asyncio.gather(
            *(one.http.post("/hooks/signed", content=body, headers=signed(body)) for _ in range(5))
        )
        zen = b'{"zen":"Keep it logically awesome.","hook_id":1}'
        ping = await one.http.post("/hooks/signed", content=zen, headers=signed(zen, "d2", event="ping"))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 202]
    assert len({answer.json()["events"][0]["runs"][0] for answer in answers}) == 1
    assert len(await rows(database, "select from runs")) == 1
    assert (ping.status_code, ping.content) == (204, b"")


async def test_a_captured_body_is_no_new_run_whatever_name_it_is_given(database: str, tmp_path: Path) -> None:
    """GitHub signs the body alone. What stands in the header may be made up by whoever captured a delivery."""
    body = b'{"ref":"refs/heads/main"}'
    async with api(database, tmp_path, Role.API) as one:

        async def post(delivery: str, event: str = "push") -> httpx.Response:
            return await one.http.post("/hooks/signed", content=body, headers=signed(body, delivery, event))

        answers = await asyncio.gather(*(post(f"d{n}") for n in range(8)))
        [first] = [one for one in answers if one.json()["events"][0]["fate"] == "ran"]
        named = first.json()["events"][0]
        captured = [await post("other", "ping"), await post("other")]
        again = await post(named["id"])
    assert {answer.status_code for answer in answers} == {202}, "each is an event, and can be asked about"
    assert len(await rows(database, "select from runs")) == 1
    for answer in captured:
        [event] = answer.json()["events"]
        assert (event["fate"], named["key"] in event["reason"], event["runs"]) == ("ignored", True, [])
    assert [answer.status_code for answer in captured] == [202, 200]
    assert (again.status_code, again.json()["events"][0]["runs"]) == (200, named["runs"])


async def test_a_hook_may_take_the_same_body_for_as_many_deliveries_as_it_has_names(
    database: str, tmp_path: Path
) -> None:
    nightly = Pipeline("nightly", [add], on=[Webhook("signed", verify=GitHub(secret=SECRET), same_body=True)])
    async with api(database, tmp_path, Role.API, pipelines=(nightly,)) as one:
        for delivery, status in (("a", 202), ("b", 202), ("a", 200)):
            answer = await one.http.post("/hooks/signed", content=b"{}", headers=signed(b"{}", delivery))
            assert answer.status_code == status
    assert len(await rows(database, "select from runs")) == 2


async def test_a_body_is_forgotten_with_its_event(database: str, tmp_path: Path) -> None:
    quiet = Pipeline("quiet", [add], on=[Webhook("signed", verify=GitHub(secret=SECRET), where={"data.a": 1})])
    async with api(database, tmp_path, Role.API, pipelines=(quiet,)) as one:
        for body in (b'{"a":1}', b'{"a":2}'):
            await one.http.post("/hooks/signed", content=body, headers=signed(body, body.hex()))
    kept = "select key from positions where scope = 'hook bodies'"
    assert len(await rows(database, kept)) == 2
    async with removing(database) as removal:
        assert await removal.remove_events(3600) == 0
        assert await removal.remove_bodies(3600) == 0
        assert (await removal.remove_events(0), await removal.remove_bodies(0)) == (1, 1)
    assert len(await rows(database, kept)) == 1, "that of a run stays as long as the run"


async def test_a_large_delivery_is_checked_as_any_other(database: str, tmp_path: Path) -> None:
    """Off the loop, where its digest keeps nobody waiting."""
    body = json.dumps({"notes": "x" * 200_000}).encode()
    async with api(database, tmp_path, Role.API) as one:
        forged = await one.http.post("/hooks/signed", content=body + b" ", headers=signed(body))
        assert "does not match the body" in problem(forged, 401)
        assert (await one.http.post("/hooks/signed", content=body, headers=signed(body))).status_code == 202


async def test_what_is_wrong_with_a_delivery_is_told_with_its_status(database: str, tmp_path: Path) -> None:
    body = b'{"a":1}'
    async with api(database, tmp_path, Role.API) as one:
        unsigned = await one.http.post("/hooks/signed", content=body, headers=JSON)
        assert "X-Hub-Signature-256" in problem(unsigned, 401)
        assert unsigned.headers["www-authenticate"].startswith("Signature")
        forged = await one.http.post("/hooks/signed", content=body + b" ", headers=signed(body))
        problem(forged, 401)
        assert "plain, signed" in problem(await one.http.post("/hooks/nothing", content=body, headers=JSON), 404)
        assert (await one.http.get("/hooks/plain")).headers["allow"] == "POST"
        problem(await one.http.get("/hooks/plain"), 405)
        problem(await one.http.post("/hooks/plain", content=b"{", headers=JSON), 400)
        zipped = await one.http.post("/hooks/plain", content=b"\x1f\x8b", headers={**JSON, "Content-Encoding": "gzip"})
        assert "Content-Encoding gzip is not understood" in problem(zipped, 415)
        huge = await one.http.post("/hooks/plain", content=b'{"id":36893488147419103232}', headers=JSON)
        assert "more than 64 bits can keep" in problem(huge, 422)
        put = await one.http.put("/api/v1/events", content=b"{}", headers=JSON)
        assert "POST" in problem(put, 405)
        assert put.headers["allow"] == "GET, HEAD, OPTIONS, POST"
        problem(await one.http.post("/hooks/plain", content=b"x", headers={"Content-Type": "image/png"}), 415)
    assert await rows(database, "select from events") == []


async def test_events_are_listed_by_their_type_and_those_below_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for number, kind in enumerate(("a.file.landed", "a.file", "a.files", "b.file.landed")):
            await one.post("/api/v1/events", cloudevent(str(number), type=kind), headers=STRUCTURED)

        async def ids(kind: str) -> list[str]:
            found = (await one.http.get("/api/v1/events", params={"type": kind})).json()["events"]
            return [event["id"] for event in found]

        assert [await ids(kind) for kind in ("a.file", "a", "a.file.landed", "a.fil")] == [
            ["1", "0"], ["2", "1", "0"], ["0"], [],
        ]  # fmt: skip


async def test_only_who_knows_the_token_hears_which_hooks_there_are(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, api_token="t") as one:
        told = problem(await one.http.post("/hooks/nothing", content=b"{}", headers=JSON), 404)
    assert ("plain" in told, "signed" in told, "tidemill triggers" in told) == (False, False, True)


async def test_what_is_wrong_with_a_cloudevent_is_told_with_its_status(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        assert "id is missing" in problem(
            await one.post("/api/v1/events", {"specversion": "1.0"}, headers=STRUCTURED), 422
        )
        problem(await one.http.post("/api/v1/events", content=b"{", headers=STRUCTURED), 400)
        problem(await one.post("/api/v1/events", {}, headers={"Content-Type": "application/cloudevents+xml"}), 415)
        problem(await one.post("/api/v1/events", {"a": 1}), 415)
        bad_batch = [cloudevent("1"), cloudevent("")]
        assert "event 1 of the batch" in problem(await one.post("/api/v1/events", bad_batch, headers=BATCH), 422)
    assert await rows(database, "select from events") == []


async def test_a_sender_may_ask_first_whether_it_may_send(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        asked = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
        answer = await one.http.options("/api/v1/events", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["webhook-allowed-origin"] == "events.example.com"
    assert answer.headers["webhook-allowed-rate"] == "*"
    assert "POST" in answer.headers["allow"]


async def test_only_senders_that_may_send_hear_so(database: str, tmp_path: Path) -> None:
    azure = Webhook("grid", verify=Bearer("t"), origins=["eventgrid.azure.net"], per_minute=60)
    pipelines = (Pipeline("one", [add], on=[azure, Webhook("plain")]),)
    async with api(database, tmp_path, Role.API, pipelines=pipelines, event_origins=("lake.example",)) as one:

        async def ask(path: str, origin: str) -> tuple[int, str | None, str | None]:
            answer = await one.http.options(path, headers={"WebHook-Request-Origin": origin})
            told = answer.headers.get("webhook-allowed-origin"), answer.headers.get("webhook-allowed-rate")
            return answer.status_code, *told

        assert await ask("/api/v1/events", "lake.example") == (204, "lake.example", "*")
        assert await ask("/api/v1/events", "elsewhere.example") == (204, None, None)
        assert await ask("/hooks/grid", "EventGrid.azure.net") == (204, "EventGrid.azure.net", "60")
        assert await ask("/hooks/grid", "elsewhere.example") == (204, None, None)
        assert await ask("/hooks/plain", "eventgrid.azure.net") == (405, None, None)


async def test_a_hook_takes_no_more_than_it_says_and_forged_deliveries_cost_it_nothing(
    database: str, tmp_path: Path
) -> None:
    few = Webhook("few", verify=Bearer("t"), per_minute=2, max_body_bytes=100)
    async with api(database, tmp_path, Role.API, pipelines=(Pipeline("one", [add], on=[few]),)) as one:

        async def post(token: str, number: int) -> httpx.Response:
            named = {**JSON, "Authorization": f"Bearer {token}", "Idempotency-Key": str(number)}
            return await one.http.post("/hooks/few", content=b"{}", headers=named)

        assert [(await post("forged", n)).status_code for n in range(5)] == [401] * 5
        assert [(await post("t", n)).status_code for n in range(2)] == [202, 202]
        refused = await post("t", 3)
        assert "2 deliveries a minute" in problem(refused, 429)
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        large = await one.http.post("/hooks/few", content=b"x" * 101, headers=JSON)
        assert "100 bytes: send less, or raise max_body_bytes of Webhook('few')" in problem(large, 413)
        assert large.headers["connection"] == "close"


async def test_a_refused_body_is_not_read_to_its_end(database: str, tmp_path: Path) -> None:
    """A gigabyte is announced; the answer comes at once, and then the connection ends."""
    async with api(database, tmp_path, Role.API) as one:
        parts = urlsplit(one.daemon.address)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = f"POST /hooks/plain HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {1 << 30}\r\n\r\n"
        writer.write(head.encode() + b"x" * 1000)
        async with asyncio.timeout(20):
            assert b" 413 " in await reader.readline()
            assert b"http.max_body_bytes" in await reader.read()
        writer.close()


async def test_the_trace_of_a_request_is_kept_with_its_events(database: str, tmp_path: Path) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with api(database, tmp_path, Role.API) as one:
        given = {"traceparent": trace, "tracestate": "vendor=1", "Idempotency-Key": "traced"}
        await one.http.post("/hooks/plain", content=b"{}", headers={**JSON, **given})
        bad = {"traceparent": trace.upper(), "tracestate": "vendor=1", "Idempotency-Key": "untraced"}
        await one.http.post("/hooks/plain", content=b"{}", headers={**JSON, **bad})
        told = [(await one.http.get(f"/api/v1/events/{name}")).json() for name in ("traced", "untraced")]
        run = (await one.http.get(f"/api/v1/runs/{told[0]['outcomes'][0]['run']}")).json()
    kept, dropped = (event["cloudevent"] for event in told)
    assert run["event"]["cloudevent"] == kept
    assert (kept["traceparent"], kept["tracestate"]) == (trace, "vendor=1")
    assert not {"traceparent", "tracestate"} & set(dropped)


async def test_a_body_over_the_limit_is_refused_by_its_length_and_while_it_streams(
    database: str, tmp_path: Path
) -> None:
    limit = 65_536

    async def stream() -> object:
        for _ in range(5):
            yield b"x" * 20_000

    async with api(database, tmp_path, Role.API, max_body_bytes=limit) as one:
        for path in ("/hooks/plain", "/api/v1/events", "/api/v1/pipelines/sums/runs", "/models/line/predict"):
            told = await one.http.post(path, content=b"x" * (limit + 1), headers=JSON)
            assert str(limit) in problem(told, 413)
            problem(await one.http.post(path, content=stream(), headers=JSON), 413)
        exact = b'"' + b"x" * (limit - 2) + b'"'
        assert (await one.http.post("/hooks/plain", content=exact, headers=JSON)).status_code == 202


async def test_a_full_queue_answers_429_and_says_when_to_come_again(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.db.waiting, "QUEUE_LIMIT", 0)
    async with api(database, tmp_path, Role.API) as one:
        for path in ("/hooks/plain", "/api/v1/pipelines/sums/runs"):
            answer = await one.post(path, {})
            problem(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1


async def test_a_client_that_hangs_up_in_the_middle_is_no_error(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(database, tmp_path, Role.API) as one:
        parts = urlsplit(one.daemon.address)
        _, writer = await asyncio.open_connection(parts.hostname, parts.port)
        head = f"POST /hooks/plain HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 100\r\n\r\n"
        writer.write(head.encode() + b"half")
        await writer.drain()
        writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        writer.close()
        assert (await one.http.get("/livez")).status_code == 200
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


PATHS = st.sampled_from(
    [
        "/hooks/plain",
        "/hooks/signed",
        "/hooks/%00",
        "/api/v1/events",
        "/api/v1/pipelines/sums/runs",
        "/api/v1/runs/1/cancel",
        "/api/v1/runs/1/gates/x/approve",
        "/api/v1/models/m/versions",
        "/models/line/predict",
    ]
)
ANY_TEXT = st.text(st.characters(), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "source", "type", "specversion", "params", "by", "artifacts"]) | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)
TYPES = st.sampled_from(
    [None, *(kind["Content-Type"] for kind in (JSON, STRUCTURED, BATCH)), "text/plain", "a;b=", "/"]
)
KEYS = st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=8)


async def throw(one: Api, path: str, content: bytes, content_type: str | None, key: str | None) -> int:
    headers = {"Content-Type": content_type} if content_type else {}
    if key is not None:
        headers |= {"Idempotency-Key": key, "ce-id": key, "ce-source": key, "ce-type": "t", "ce-specversion": "1.0"}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return (await one.http.post(path, content=content, headers=raw)).status_code


async def test_garbage_is_never_our_fault(database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    thrown: list[tuple[str, bytes, str | None, str | None]] = []
    bounded = hypothesis_settings(
        max_examples=250, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )

    @bounded
    @given(PATHS, st.binary(max_size=40) | VALUES.map(lambda value: json.dumps(value).encode()), TYPES, KEYS)
    def gather(path: str, content: bytes, content_type: str | None, key: str | None) -> None:
        thrown.append((path, content, content_type, key))

    gather()
    async with api(database, tmp_path, Role.API) as one:
        statuses = [await throw(one, *garbage) for garbage in thrown]
    faults = [(garbage, status) for garbage, status in zip(thrown, statuses, strict=True) if status >= 500]
    assert faults == []
    assert len(set(statuses)) > 3
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
