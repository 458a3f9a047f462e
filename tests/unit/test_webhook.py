"""A delivery becomes one event, however often it is sent, and only if its sender is known."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.test_signatures import KEY, standard_headers
from triggers.adapters import AsCloudEvent
from triggers.base import Binding
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidEvent, InvalidTrigger
from triggers.event import Event
from triggers.files import Files
from triggers.providers import Gitea, GitLab, Jenkins
from triggers.signatures import BadSignature, Bearer, GitHub, SignsBody, StandardWebhooks
from triggers.webhook import Webhook, admit, hooks, receive

NOW = datetime(2026, 11, 22, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}
PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "acme/flights"}}
BODY = orjson.dumps(PUSH)
OPEN = Webhook("ci")


def delivered(
    webhook: Webhook, headers: dict[str, str], body: bytes, query: dict[str, str] | None = None
) -> Sequence[Event] | Answer:
    """As the daemon does it: who sent this, then what it means."""
    return asyncio.run(receive(webhook, admit(webhook, Delivery.of(webhook.hook, headers, body, NOW, query))))


def received(headers: dict[str, str], body: bytes = BODY, webhook: Webhook = OPEN) -> Event:
    found = delivered(webhook, {**JSON, **headers}, body)
    assert not isinstance(found, Answer)
    [event] = found
    return event


def signed(body: bytes = BODY, **headers: str) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(b"s", body, hashlib.sha256).hexdigest(), **headers}


def test_delivery_tells_where_it_came_from_and_what_about() -> None:
    event = received({"X-GitHub-Event": "push", "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958"})
    assert (event.source, event.type) == ("tidemill:hooks/ci", "dev.tidemill.webhook.github.push")
    assert event.id == "72d3162e-cc78-11e3-81ab-4c9367dc0958"
    assert (event.subject, event.data, event.time) == ("acme/flights", PUSH, NOW)


@pytest.mark.parametrize(
    ("headers", "event_id"),
    [
        ({"X-GitHub-Delivery": "a", "webhook-id": "b", "Idempotency-Key": "c"}, "a"),
        ({"webhook-id": "b", "Idempotency-Key": "c"}, "b"),
        ({"X-GitHub-Delivery": "", "Idempotency-Key": "c"}, "c"),
        ({"Idempotency-Key": '"c d"'}, "c d"),
        ({"Idempotency-Key": '"a\\"b\\\\c"'}, 'a"b\\c'),
        ({"Idempotency-Key": '"c";p=1'}, "c"),
        ({}, "body-" + hashlib.blake2b(BODY, digest_size=16).hexdigest()),
    ],
)
def test_identity_is_the_delivery_id_else_the_idempotency_key_else_the_body(
    headers: dict[str, str], event_id: str
) -> None:
    assert received(headers).id == event_id


@pytest.mark.parametrize("value", ['"open', "a b", "é", "a\x00b", '""', "x" * 1025, '"a"b'])
def test_delivery_id_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        received({"Idempotency-Key": value})
    assert refused.value.status == 400


def test_only_headers_the_scheme_vouches_for_make_an_identity() -> None:
    """A captured delivery, sent again with one more header, must stay the same event."""
    headers = standard_headers(b"k" * 32)
    webhook = Webhook("ci", verify=StandardWebhooks(KEY))
    first = received(headers, b'{"a":1}', webhook)
    again = received({**headers, "X-GitHub-Delivery": "new", "X-GitHub-Event": "push"}, b'{"a":1}', webhook)
    assert (first.key, first.type) == (again.key, again.type)
    github = Webhook("ci", verify=GitHub("s"))
    assert received(signed(), BODY, github).key == received(signed(**{"Idempotency-Key": "new"}), BODY, github).key


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"verify": GitHub}, "verify=GitHub is a class: call it"),
        ({"verify": "GitHub"}, "verify='GitHub' is none"),
        ({"read": AsCloudEvent}, "read=AsCloudEvent is a class: call it"),
        ({"read": "json"}, "read='json' is none"),
    ],
)
def test_a_scheme_that_was_not_called_is_told_where_it_is_declared(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidTrigger, match=told):
        Webhook("ci", **settings)


@pytest.mark.parametrize(
    ("verify", "told"),
    [
        (Bearer("t"), "takes Bearer and its token only"),
        (Jenkins("t"), "takes Bearer and its token only"),
        (GitLab("t"), "takes deliveries with its token only"),
        (GitHub("s"), "takes signed deliveries only"),
    ],
)
def test_what_a_delivery_lacks_is_called_what_it_is(verify: Any, told: str) -> None:
    with pytest.raises(BadSignature, match=told):
        delivered(Webhook("ci", verify=verify), JSON, BODY)


def test_a_number_that_would_be_stored_as_another_is_refused() -> None:
    for number in (2**64 - 1, -(2**63), 10**18):
        assert received({}, orjson.dumps({"id": number})).data == {"id": number}
    for text in ("0.1234567890123456789012345", '"36893488147419103232"', "1e30"):
        received({}, b'{"id":%b}' % text.encode())
    for number in (2**64, -(2**63) - 1, 10**40):
        with pytest.raises(InvalidEvent, match="64 bits"):
            received({}, f'{{"id": [{number}]}}'.encode())


def test_brackets_that_are_closed_stay_allowed() -> None:
    for pattern in ("[[]a/*.csv", "dt=[0-9][!]]/", "a]b.csv", "[]]x"):
        Files(pattern, ignore=[])


def test_signature_comes_before_everything_else() -> None:
    with pytest.raises(BadSignature):
        delivered(Webhook("ci", verify=GitHub("s")), {"X-GitHub-Event": "ping"}, b"{bad")


def test_ping_is_answered_without_an_event() -> None:
    webhook, body = Webhook("ci", verify=GitHub("s")), b'{"zen":"Design for failure.","hook_id":1}'
    for said in ("ping", "push"):
        assert delivered(webhook, {**JSON, **signed(body, **{"X-GitHub-Event": said})}, body) == []


def test_what_is_called_a_ping_in_a_header_that_nobody_signed_is_none() -> None:
    headers = signed(**{"X-GitHub-Event": "ping", "X-GitHub-Delivery": "a"})
    assert received(headers, BODY, Webhook("ci", verify=GitHub("s"))).data == PUSH


def test_what_was_signed_is_told_where_it_does_not_name_the_delivery() -> None:
    def digest(webhook: Webhook, headers: dict[str, str], body: bytes = BODY) -> str:
        return admit(webhook, Delivery.of("ci", headers, body, NOW)).signed

    github = Webhook("ci", verify=GitHub("s"))
    first = digest(github, signed(**{"X-GitHub-Delivery": "a"}))
    assert first == digest(github, signed(**{"X-GitHub-Delivery": "b", "X-GitHub-Event": "ping"}))
    assert first != digest(github, signed(BODY + b" "), BODY + b" ")
    assert digest(replace(github, verify=None), {}) == digest(replace(github, same_body=True), signed()) == ""
    assert not isinstance(StandardWebhooks(KEY), SignsBody)
    # The same JSON, signed once, bare and in a form that is written in two ways.
    gitea = Webhook("ci", verify=Gitea("s"))
    seal = {"X-Gitea-Signature": hmac.new(b"s", b"{}", hashlib.sha256).hexdigest()}
    form = seal | {"Content-Type": "application/x-www-form-urlencoded"}
    assert digest(gitea, seal, b"{}") == digest(gitea, form, b"payload={}") == digest(gitea, form, b"payload=%7B%7D")


def test_form_with_a_payload_is_read_as_its_json() -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"payload": BODY.decode()}).encode()
    assert received({**form, **signed(body)}, body, Webhook("ci", verify=GitHub("s"))).data == PUSH
    assert received(form, b"status=ok&commit=%C3%A9").data == {"status": "ok", "commit": "é"}


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("text/plain", b"{}", 415),
        ("", b"{}", 415),
        ("application/json; charset=utf-16", b"{}", 415),
        ("application/json", b"", 400),
        ("application/json", b"{bad", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b"[" * 100_000, 422),
        ("application/x-www-form-urlencoded", b"payload=%7Bbad", 400),
        ("application/x-www-form-urlencoded", b"payload=%FF", 400),
        ("application/x-www-form-urlencoded", b"\xff=1", 400),
        ("application/x-www-form-urlencoded", b'{"a":1}', 400),
        ("application/x-www-form-urlencoded", b"a=1&" * 2_000, 400),
        ("application/x-www-form-urlencoded", b"", 400),
    ],
)
def test_each_kind_of_bad_delivery_has_its_status(content_type: str, body: bytes, status: int) -> None:
    with pytest.raises(InvalidEvent) as refused:
        delivered(Webhook("ci"), {"content-type": content_type}, body)
    assert refused.value.status == status


@pytest.mark.parametrize("about", [{}, [], {"repository": 3}, {"repository": {"full_name": "a\nb"}}, {"project": {}}])
def test_subject_is_left_out_where_the_payload_names_none(about: Any) -> None:
    assert received({}, orjson.dumps(about)).subject is None


def test_subject_may_be_a_gitlab_project() -> None:
    assert received({}, b'{"project":{"path_with_namespace":"acme/ml"}}').subject == "acme/ml"


@pytest.mark.parametrize("name", ["", "a/b", "a b", "é", "..", "-a", "a\n"])
def test_hook_name_must_fit_an_address(name: str) -> None:
    with pytest.raises(InvalidTrigger, match="hook's name"):
        Webhook(name)


def test_pipelines_share_a_hook_only_with_one_verifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s")
    first, second = (Binding(name, Webhook("ci", GitHub("env:HOOK_SECRET"))) for name in ("a", "b"))
    assert hooks([first, second]) == {"ci": [first, second]}
    with pytest.raises(InvalidTrigger, match="a/webhook:ci and c/webhook:ci verify it differently"):
        hooks([first, Binding("c", Webhook("ci", Bearer("t")))])
    monkeypatch.delenv("HOOK_SECRET")
    with pytest.raises(InvalidTrigger, match="'HOOK_SECRET' is not set"):
        hooks([first])


@dataclass(frozen=True)
class Reads:
    """A reader that takes the sender at its word."""

    event: Event

    async def read(self, delivery: Delivery) -> Sequence[Event]:
        return [self.event]


@pytest.mark.parametrize(
    "told",
    [{"type": "\0"}, {"id": ""}, {"subject": "a\n"}, {"id": "x" * 3_000}, {"extensions": {"a": "\0"}},
     {"extensions": {"A": "b"}}, {"source": "\ud800"}, {"dataschema": "\0"}],
    ids=repr,
)  # fmt: skip
def test_what_no_reader_may_let_through_is_refused_for_all_of_them(told: dict[str, Any]) -> None:
    right = Event(source="s", id="1", type="t", time=NOW)
    assert delivered(Webhook("ci", read=Reads(right)), {}, b"") == [right]
    with pytest.raises(InvalidEvent) as refused:
        delivered(Webhook("ci", read=Reads(replace(right, **told))), {}, b"")
    assert refused.value.status == 422


FORM_OR_JSON = st.sampled_from(["application/json", "application/x-www-form-urlencoded", "a/b+json;charset=x"])


@settings(deadline=None)
@given(
    FORM_OR_JSON,
    st.binary(max_size=60) | st.binary(max_size=40).map(lambda raw: b"payload=" + raw),
    st.text(max_size=9),
)
@example("application/x-www-form-urlencoded", b"payload=%22%ED%A0%80%22", "push")
@example("application/x-www-form-urlencoded", b"payload=%22\\ud800%22", "push")
def test_whatever_is_delivered_is_an_event_or_an_invalid_event(content_type: str, body: bytes, text: str) -> None:
    headers = {"content-type": content_type, "x-github-event": text, "x-github-delivery": text}
    with suppress(InvalidEvent):
        events = delivered(OPEN, headers, body)
        assert not isinstance(events, Answer)
        assert all(orjson.dumps(event.data) for event in events)
