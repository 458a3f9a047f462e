"""Deliveries of code hosts as the CloudEvents of their adapters: our own cases."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers import AsCloudEvent, Bearer, Bitbucket, Gitea, GitHub, GitLab, Webhook
from triggers.adapter_tables import GITHUB_ROWS, GITLAB_ROWS
from triggers.base import Binding
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.route import Route, route_of
from triggers.signatures import Verifier
from triggers.webhook import receive, trusted
from triggers.where import mismatch

NOW = datetime(2026, 11, 27, 4, 5, 6, tzinfo=UTC)
REPO = {"url": "https://api.github.com/repos/acme/ml", "full_name": "acme/ml"}
ISSUE = {"action": "opened", "issue": {"number": 7, "updated_at": "2026-11-20T01:02:03Z"}, "repository": REPO}
HOME = "https://gitlab.com/acme/ml"
MERGE = {
    "object_kind": "merge_request",
    "repository": {"homepage": HOME},
    "object_attributes": {"iid": 3, "action": "open", "created_at": "2026-11-20 01:02:03 UTC"},
}
ON_GITHUB, ON_GITLAB = GitHub("s"), GitLab(token="s")


def delivered(
    payload: Any, headers: dict[str, str], verify: Verifier | None = ON_GITHUB, now: datetime = NOW
) -> Sequence[Event]:
    webhook = Webhook("ci", verify=verify, read=AsCloudEvent())
    told = {"content-type": "application/json", **headers}
    delivery = Delivery.of("ci", told, orjson.dumps(payload), now)
    events = asyncio.run(receive(webhook, trusted(webhook, delivery)))
    assert not isinstance(events, Answer)
    return events


def on_github(payload: Any, kind: str, **headers: str) -> Event:
    [event] = delivered(payload, {"X-GitHub-Event": kind, "X-GitHub-Delivery": "d-1", **headers})
    return event


def on_gitlab(payload: Any, **headers: str) -> Event:
    [event] = delivered(payload, {"Idempotency-Key": "k-1", **headers}, ON_GITLAB)
    return event


def test_an_issue_is_worded_as_the_table_does() -> None:
    event = on_github(ISSUE, "issues")
    assert (event.type, event.source, event.subject) == ("com.github.issues.opened", REPO["url"], "7")
    assert (event.id, event.time) == ("d-1", datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC))
    assert (event.datacontenttype, event.dataschema, event.data) == ("application/json", None, ISSUE)
    assert mismatch({"type": {"prefix": "com.github."}}, event) is None
    assert route_of(event) == Route("webhook", "ci")


@pytest.mark.parametrize(
    ("kind", "payload", "told"),
    [
        ("push", {"ref": "refs/heads/main", "repository": REPO}, ("push", REPO["url"], "refs/heads/main", NOW)),
        (
            "commit_comment",
            {"action": "created", "comment": {"url": "https://a.b/c/1", "commit_id": "f00", "id": 1}},
            ("commit_comment.created", "https://a.b/c/1/f00", "1", NOW),
        ),
        (
            "check_run",
            {"action": "created", "check_run": {"id": 4, "completed_at": None, "started_at": "2026-11-20T01:02:03Z"}},
            ("check_run.created", "tidemill:hooks/ci", "4", datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)),
        ),
        (
            "membership",
            {"action": "added", "scope": "team", "team": {"url": "https://a.b/t"}, "member": {"login": "kim"}},
            ("membership.team.added", "https://a.b/t", "kim", NOW),
        ),
        (
            "marketplace_purchase",
            {"action": "purchased", "sender": {"url": "https://api.github.com/users/kim"}, "effective_date": "soon"},
            ("marketplace_purchase.purchased", "https://api.github.com/users", None, NOW),
        ),
        ("security_advisory", {"action": "published"}, ("security_advisory.published", "github.com", None, NOW)),
        (
            "installation",
            {"action": "created", "installation": {"id": 2, "updated_at": 1_557_933_591}},
            ("installation.created", "tidemill:hooks/ci", "2", datetime(2019, 5, 15, 15, 19, 51, tzinfo=UTC)),
        ),
        (
            "release",
            {"action": "created", "release": {"id": 5, "created_at": "2026-11-20T01:02:03Z", "published_at": None}},
            ("release.created", "tidemill:hooks/ci", "5", datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)),
        ),
        ("release", {"action": "edited", "release": {"id": 5}}, ("release.edited", "tidemill:hooks/ci", "5", NOW)),
        ("repository_dispatch", {"action": "retrain"}, ("repository_dispatchretrain", "tidemill:hooks/ci", None, NOW)),
        ("status", {"sha": "f00", "state": "success"}, ("status.success", "tidemill:hooks/ci", "f00", NOW)),
        ("team_add", {"team": {"id": 9}, "repository": REPO}, ("team_add", REPO["url"], "9", NOW)),
        ("sub_issues", {"action": "a", "organization": {"url": "https://o"}}, ("sub_issues.a", "https://o", None, NOW)),
        ("issues", [], ("issues", "tidemill:hooks/ci", None, NOW)),
    ],
)  # fmt: skip
def test_what_the_table_takes_from_elsewhere_and_what_is_missing(
    kind: str, payload: Any, told: tuple[str, str, str | None, datetime]
) -> None:
    event = on_github(payload, kind)
    assert (event.type.removeprefix("com.github."), event.source, event.subject, event.time) == told


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (MERGE, ("merge_request.open", HOME, "3", datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC))),
        (
            {"object_kind": "push", "checkout_sha": None, "project": {"web_url": HOME}},
            ("push", HOME, None, NOW),
        ),
        (
            {"object_kind": "build", "build_id": 8, "build_status": "failed", "repository": {"homepage": HOME}},
            ("job.failed", HOME, "8", NOW),
        ),
        (
            {
                "object_kind": "note",
                "object_attributes": {
                    "noteable_type": "Issue",
                    "id": 1241,
                    "url": f"{HOME}/-/issues/17#note_1241",
                    "created_at": "2026-11-20 02:02:03 +0100",
                },
            },
            ("note.issue", f"{HOME}/-/issues/17", "1241", datetime(2026, 11, 20, 1, 2, 3, tzinfo=UTC)),
        ),
        ({"object_kind": "note", "project": {"web_url": HOME}}, ("note", HOME, None, NOW)),
        ({"object_kind": "deployment", "project": {"web_url": HOME}}, ("deployment", HOME, None, NOW)),
        ({"event_name": "user_add_to_team"}, ("user_add_to_team", "tidemill:hooks/ci", None, NOW)),
        ({}, ("member", "tidemill:hooks/ci", None, NOW)),
    ],
)
def test_gitlab_is_worded_by_what_its_payload_says(payload: Any, told: tuple[str, str, str | None, datetime]) -> None:
    event = on_gitlab(payload, **{"X-Gitlab-Event": "Member Hook"})
    assert (event.type.removeprefix("com.gitlab."), event.source, event.subject, event.time) == told
    assert event.id == "k-1"


def test_a_captured_delivery_stays_one_event_whatever_is_added_to_it() -> None:
    """GitLab signs the payload and the id, and none of the headers that say what happened."""
    for payload in (MERGE, {"repository": {"homepage": HOME}, "project": {"web_url": f"{HOME}/"}}):
        keys = {on_gitlab(payload, **{"X-Gitlab-Event": f"{one} Hook"}).key for one in ("Push", "Pipeline", "Member")}
        assert len(keys) == 1
    first = on_gitlab(MERGE, **{"X-Gitlab-Event": "Merge Request Hook"})
    again = on_gitlab(
        MERGE, **{"X-Gitlab-Event": "Pipeline Hook", "X-Gitlab-Event-UUID": "u", "X-GitHub-Event": "push"}
    )
    assert first.key == again.key
    assert on_github(ISSUE, "issues").key == on_github(ISSUE, "issues", **{"X-Gitea-Event": "push"}).key


def test_a_repeat_is_the_same_event_and_without_an_id_the_body_names_it() -> None:
    [first] = delivered(ISSUE, {"X-GitHub-Event": "issues"})
    [again] = delivered(ISSUE, {"X-GitHub-Event": "issues"}, now=NOW.replace(year=2027))
    assert first.key == again.key
    assert first.id.startswith("body-")


@pytest.mark.parametrize(
    "url",
    ["tidemill:emitted/a/b", "tidemill:hooks/other", "tidemill:replay/p", "kafka:a/b", "file:///x", "https://a b", "",
     7, None, "https://é", "https://" + "x" * 3_000, "https://a\n"],
    ids=repr,
)  # fmt: skip
def test_a_payload_speaks_in_no_name_but_that_of_an_address_in_the_web(url: Any) -> None:
    assert on_github({"repository": {"url": url}}, "push").source == "tidemill:hooks/ci"


@pytest.mark.parametrize("ref", ["x" * 3_000, "a\n", "", None, True, {}, 1.5])
def test_what_can_be_no_attribute_is_left_out(ref: Any) -> None:
    event = on_github({"ref": ref, "action": ref, "repository": REPO}, "create")
    assert (event.type, event.subject, event.source) == ("com.github.create", None, REPO["url"])


@pytest.mark.parametrize(
    "at", ["2026-02-30T00:00:00Z", "yesterday", 10**18, -(10**18), True, [], "2026-13-01 00:00:00 UTC"]
)
def test_what_is_no_time_is_that_of_the_delivery(at: Any) -> None:
    assert on_github({**ISSUE, "issue": {"updated_at": at}}, "issues").time == NOW


def test_a_ping_is_no_event() -> None:
    assert delivered({"zen": "x", "hook_id": 1}, {"X-GitHub-Event": "ping"}) == []


@pytest.mark.parametrize("verify", [Bitbucket("s"), Gitea("s")])
def test_a_provider_without_a_table_is_refused_when_it_is_declared(verify: Verifier) -> None:
    with pytest.raises(InvalidTrigger, match="what GitHub and GitLab send"):
        Webhook("ci", verify=verify, read=AsCloudEvent())


def test_without_a_scheme_the_headers_tell_who_sends() -> None:
    for verify in (None, Bearer("t")):
        [event] = delivered(ISSUE, {"X-GitHub-Event": "issues"}, verify)
        assert event.type == "com.github.issues.opened"
        [other] = delivered(ISSUE, {"X-Gitea-Event": "issues"}, verify)
        assert (other.type, other.source) == ("dev.tidemill.webhook.gitea.issues", "tidemill:hooks/ci")
        [plain] = delivered(ISSUE, {}, verify)
        assert plain.type == "dev.tidemill.webhook"


def test_pipelines_share_a_hook_that_is_read_alike() -> None:
    from triggers.webhook import hooks

    first, second = (Binding(name, Webhook("ci", verify=ON_GITHUB, read=AsCloudEvent())) for name in ("a", "b"))
    assert hooks([first, second]) == {"ci": [first, second]}
    with pytest.raises(InvalidTrigger, match="differ in read"):
        hooks([first, Binding("c", Webhook("ci", verify=ON_GITHUB))])


NAMES = st.sampled_from(
    ["action", "repository", "url", "issue", "updated_at", "object_kind", "object_attributes", "id"]
)
VALUES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=9)
PAYLOADS = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4))


@settings(deadline=None)
@given(PAYLOADS, st.sampled_from([*GITHUB_ROWS, "", "\0"]), st.sampled_from([*GITLAB_ROWS, ""]))
def test_whatever_a_payload_holds_it_is_an_event(payload: Any, kind: str, told: str) -> None:
    assert on_github(payload, kind).type.startswith("com.github")
    if isinstance(payload, dict):
        payload["object_kind"] = told
    assert on_gitlab(payload).type.startswith("com.gitlab")


def test_the_page_shows_a_trigger_that_can_be_declared() -> None:
    page = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    shown = page.partition("## As CloudEvents word it")[2].partition("```python\n")[2].partition("```")[0]
    trigger = eval(shown, {"Webhook": Webhook, "GitHub": GitHub, "AsCloudEvent": AsCloudEvent})
    [event] = asyncio.run(trigger.read.read(given_to(trigger)))
    assert mismatch(trigger.where, event) is None


def given_to(webhook: Webhook) -> Delivery:
    headers = {"content-type": "application/json", "X-GitHub-Event": "issues", "X-GitHub-Delivery": "d-1"}
    return trusted(webhook, Delivery.of(webhook.hook, headers, orjson.dumps(ISSUE), NOW))
