"""Each provider's scheme as its documentation words it: what it signs, what names a delivery, what it is about."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.test_signatures import KEY, standard_headers
from tests.unit.test_webhook import NOW, delivered
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.providers import Bitbucket, Buildkite, CircleCI, Gitea, GitLab, Jenkins
from triggers.signatures import BadSignature, Verifier
from triggers.webhook import Webhook

BODY = b'{"a":1}'
AT = int(NOW.timestamp())
FORM = {"content-type": "application/x-www-form-urlencoded"}


def hexed(key: str, body: bytes = BODY) -> str:
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def buildkite(key: str = "s", body: bytes = BODY, at: int = AT) -> dict[str, str]:
    return {"X-Buildkite-Signature": f"timestamp={at},signature={hexed(key, f'{at}.'.encode() + body)}"}


RIGHT: list[tuple[Verifier, dict[str, str]]] = [
    (GitLab(token="s"), {"X-Gitlab-Token": "s"}),
    (GitLab(signing=KEY), standard_headers(b"k" * 32)),
    (GitLab(token="s", signing=KEY), {"X-Gitlab-Token": "s"}),
    (GitLab(token="s", signing=KEY), standard_headers(b"k" * 32)),
    (Bitbucket("s"), {"X-Hub-Signature": f"sha256={hexed('s')}"}),
    (Gitea("s"), {"X-Gitea-Signature": hexed("s")}),
    (CircleCI("s"), {"circleci-signature": f"v1={hexed('s')}"}),
    (CircleCI("s"), {"circleci-signature": f"v2=abc, v1={hexed('s')}"}),
    (Buildkite(token="s"), {"X-Buildkite-Token": "s"}),
    (Buildkite(signing="s"), buildkite()),
    (Buildkite(signing="s"), buildkite(at=AT - 300)),
    (Jenkins("s"), {"Authorization": "Bearer s"}),
]
WRONG: list[tuple[Verifier, dict[str, str]]] = [
    (GitLab(token="s"), {"X-Gitlab-Token": "t"}),
    (GitLab(token="s"), {"X-Gitlab-Token": "é€"}),
    (GitLab(signing=KEY), {"X-Gitlab-Token": "s"}),
    (GitLab(token="s", signing=KEY), {**standard_headers(b"x" * 32), "X-Gitlab-Token": "s"}),
    (GitLab(signing=KEY), standard_headers(b"k" * 32, at=AT - 301)),
    # What GitHub would send under this name.
    (Bitbucket("s"), {"X-Hub-Signature": "sha1=" + hmac.new(b"s", BODY, "sha1").hexdigest()}),
    (Bitbucket("s"), {"X-Hub-Signature-256": f"sha256={hexed('s')}"}),
    (Gitea("s"), {"X-Gitea-Signature": ""}),
    (Gitea("s"), {"X-Gitea-Signature": f"sha256={hexed('s')}"}),
    (Gitea("s"), {"X-Hub-Signature-256": f"sha256={hexed('s')}"}),
    (CircleCI("s"), {"circleci-signature": f"v2={hexed('s')}"}),
    (CircleCI("s"), {"circleci-signature": hexed("s")}),
    (CircleCI("s"), {"circleci-signature": f"v1={hexed('t')},v1={hexed('s')}"}),
    (CircleCI("s"), {"circleci-signature": "v1=not-a-valid-signature"}),
    (Buildkite(token="s"), buildkite()),
    (Buildkite(signing="s"), {"X-Buildkite-Token": "s"}),
    (Buildkite(signing="s"), buildkite(at=AT - 301)),
    (Buildkite(signing="s"), buildkite(at=AT + 301)),
    (Buildkite(signing="s"), {"X-Buildkite-Signature": f"timestamp={AT},signature={hexed('s')}"}),
    (Buildkite(signing="s"), {"X-Buildkite-Signature": f"signature={hexed('s')}"}),
    (
        Buildkite(signing="s"),
        {"X-Buildkite-Signature": buildkite()["X-Buildkite-Signature"] + ",timestamp=" + str(AT)},
    ),
    (Jenkins("s"), {"X-Token": "s"}),
]


@pytest.mark.parametrize(("verifier", "headers"), RIGHT, ids=lambda one: type(one).__name__)
def test_what_the_provider_sends_is_verified(verifier: Verifier, headers: dict[str, str]) -> None:
    verifier.check()
    verifier.verify(headers, BODY, NOW)


@pytest.mark.parametrize(("verifier", "headers"), [*WRONG, *((one, {}) for one, _ in RIGHT)], ids=repr)
def test_what_it_did_not_send_is_refused(verifier: Verifier, headers: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        verifier.verify(headers, BODY, NOW)


SIGNED = [(one, headers) for one, headers in RIGHT if "Signature" in str(headers).title()]


@pytest.mark.parametrize(("verifier", "headers"), SIGNED, ids=lambda one: type(one).__name__)
def test_a_signature_is_over_the_raw_bytes(verifier: Verifier, headers: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        verifier.verify(headers, BODY + b" ", NOW)


def test_gitea_signs_the_json_in_a_form_and_nothing_else_may_be_in_it() -> None:
    signed = {**FORM, "X-Gitea-Signature": hexed("s")}
    Gitea("s").verify(signed, urlencode({"payload": BODY.decode()}).encode(), NOW)
    for body in (BODY, b"payload=%7B%7D", b"payload=%7B%22a%22%3A1%7D&payload=2", b"a=1", b"\xff", b"a=1&" * 500):
        with pytest.raises(BadSignature):
            Gitea("s").verify(signed, body, NOW)


@pytest.mark.parametrize(
    "make",
    [lambda one: GitLab(token=one), Bitbucket, Gitea, CircleCI, lambda one: Buildkite(token=one),
     lambda one: Buildkite(signing=one), Jenkins],
)  # fmt: skip
def test_several_secrets_and_where_they_come_from(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(["old", "new"]).check()
    with pytest.raises(InvalidTrigger, match="secret is empty"):
        make("")
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with pytest.raises(InvalidTrigger, match="'HOOK_SECRET' is not set"):
        make("env:HOOK_SECRET").check()
    with pytest.raises(InvalidTrigger, match="cannot be read"):
        make(f"file:{tmp_path}/none").check()
    assert "old" not in repr(make("old"))


def test_a_secret_in_a_file_is_read_anew_when_it_changes_and_survives_while_it_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("one\n")
    verifier = Bitbucket(f"file:{file}")
    first, second = ({"X-Hub-Signature": f"sha256={hexed(key)}"} for key in ("one", "other"))
    verifier.verify(first, BODY, NOW)
    replaced = tmp_path / "new"
    replaced.write_text("other\n")
    replaced.rename(file)
    verifier.verify(second, BODY, NOW)
    with pytest.raises(BadSignature):
        verifier.verify(first, BODY, NOW)
    file.unlink()
    verifier.verify(second, BODY, NOW)


@pytest.mark.parametrize(
    ("make", "says"),
    [(lambda: GitLab(), "token="), (lambda: Buildkite(), "signing="), (lambda: Buildkite("a", "b"), "signing="),
     (lambda: GitLab(signing="%%"), "not base64"), (lambda: GitLab(signing=KEY, tolerance_s=0), "tolerance_s"),
     (lambda: Buildkite(signing="s", tolerance_s=float("inf")), "tolerance_s")],
)  # fmt: skip
def test_declared_wrongly_is_refused(make: Any, says: str) -> None:
    with pytest.raises(InvalidTrigger, match=says):
        make()


def event_of(verifier: Verifier | None, headers: dict[str, str], data: Any = None, signed: str = "") -> Event:
    body = orjson.dumps(data if data is not None else {"a": 1})
    if signed:
        headers = {**headers, signed: headers.get(signed, "") + hexed("s", body)}
    [event] = delivered(Webhook("ci", verify=verifier), {"content-type": "application/json", **headers}, body)  # type: ignore[misc]
    return event


GITLAB = {"X-Gitlab-Token": "s", "X-Gitlab-Event-UUID": "shared", "Idempotency-Key": "k-1"}
JOB = {"name": "train", "build": {"phase": "COMPLETED", "number": 4}}


@pytest.mark.parametrize(
    ("event", "kind", "name"),
    [
        (event_of(GitLab(token="s"), {**GITLAB, "X-Gitlab-Event": "Push Hook"}), "gitlab.push", "k-1"),
        (event_of(GitLab(token="s"), {**GITLAB, "X-Gitlab-Event": "Merge Request Hook"}), "gitlab.merge_request", None),
        (event_of(GitLab(token="s"), {**GITLAB, "X-Gitlab-Event": "System Hook"}), "gitlab.system", "k-1"),
        (
            event_of(
                Bitbucket("s"),
                {"X-Event-Key": "repo:push", "X-Request-UUID": "r-1", "X-Hub-Signature": "sha256="},
                signed="X-Hub-Signature",
            ),
            "bitbucket.repo.push",
            "r-1",
        ),
        (
            event_of(
                Gitea("s"),
                {"X-Gitea-Event": "push", "X-GitHub-Event": "push", "X-Gitea-Delivery": "g-1"},
                signed="X-Gitea-Signature",
            ),
            "gitea.push",
            "g-1",
        ),
        (
            event_of(
                CircleCI("s"),
                {"circleci-signature": "v1="},
                {"type": "workflow-completed", "id": "c-1", "project": {"slug": "gh/acme/ml"}},
                signed="circleci-signature",
            ),
            "circleci.workflow-completed",
            "c-1",
        ),
        (
            event_of(Buildkite(token="s"), {"X-Buildkite-Token": "s", "X-Buildkite-Event": "build.finished"}),
            "buildkite.build.finished",
            "body-" + hashlib.blake2b(BODY, digest_size=16).hexdigest(),
        ),
        (
            event_of(Jenkins("s"), {"Authorization": "Bearer s"}, JOB),
            "jenkins.completed",
            "body-" + hashlib.blake2b(orjson.dumps(JOB), digest_size=16).hexdigest(),
        ),
        (event_of(None, {"X-Gitea-Event": "push", "X-GitHub-Event": "push"}), "gitea.push", None),
        (event_of(None, {"X-Gitlab-Event": "Push Hook"}), "gitlab.push", None),
        (event_of(GitLab(token="s"), {"X-Gitlab-Token": "s"}), None, None),
        (event_of(GitLab(token="s"), {"X-Gitlab-Token": "s", "X-Gitlab-Event": "é\x00 Hook"}), None, None),
    ],
)  # fmt: skip
def test_a_delivery_is_worded_as_its_provider_does(event: Event, kind: str | None, name: str | None) -> None:
    assert event.type == ("dev.tidemill.webhook" if kind is None else f"dev.tidemill.webhook.{kind}")
    assert name is None or event.id == name


TEST = b'{"test": true}'


@pytest.mark.parametrize(
    ("verifier", "headers", "body"),
    [
        (Buildkite(token="s"), {"X-Buildkite-Token": "s", "X-Buildkite-Event": "ping"}, b"{}"),
        (Bitbucket("s"), {"X-Event-Key": "diagnostics:ping", "X-Hub-Signature": "sha256=" + hexed("s", TEST)}, TEST),
        (CircleCI("s"), {"circleci-signature": "v1=" + hexed("s", b'{"type":"ping"}')}, b'{"type":"ping"}'),
    ],
)
def test_a_ping_is_no_event(verifier: Verifier, headers: dict[str, str], body: bytes) -> None:
    assert delivered(Webhook("ci", verify=verifier), {"content-type": "application/json", **headers}, body) == []


def test_a_token_may_stand_in_the_address_where_no_header_can_be_set() -> None:
    webhook, headers = Webhook("ci", verify=Jenkins("s")), {"content-type": "application/json"}
    assert len(delivered(webhook, headers, BODY, {"access_token": "s"})) == 1  # type: ignore[arg-type]
    for query, more in (({"access_token": "t"}, {}), ({"access_token": "s"}, {"authorization": "Bearer t"}), ({}, {})):
        with pytest.raises(BadSignature):
            delivered(webhook, {**headers, **more}, BODY, query)


NAMES = st.sampled_from(sorted({name for _, headers in RIGHT for name in headers}))
GOOD = {value for _, headers in RIGHT for value in headers.values()}
VALUES = st.text(max_size=60).filter(lambda text: text not in GOOD) | st.sampled_from(
    ["v1=", "timestamp=1,signature=", f"timestamp={AT},signature=00", "sha256=" + "0" * 64, "v1," + "A" * 44, str(AT)]
)
ALL = [one for one, _ in RIGHT]


@settings(deadline=None)
@given(st.dictionaries(NAMES, VALUES), st.binary(max_size=20))
@example({"X-Gitea-Signature": "0" * 64, "content-type": FORM["content-type"]}, b"payload=%FF")
@example({"X-Buildkite-Signature": f"timestamp={AT},signature={chr(0x660) * 64}"}, b"")
def test_garbage_is_a_bad_signature_and_nothing_else(headers: dict[str, str], body: bytes) -> None:
    for verifier in ALL:
        with pytest.raises(BadSignature):
            verifier.verify(headers, body, NOW)


def test_base64_of_another_length_is_no_digest() -> None:
    from triggers.signatures import HMAC

    with pytest.raises(BadSignature, match="no sha256 digest in base64"):
        HMAC("X-Sig", encoding="base64", secret="s").verify({"X-Sig": base64.b64encode(b"x").decode()}, BODY, NOW)
