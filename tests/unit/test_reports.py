"""Commit statuses: what is called for which delivery, and what an answer means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.reports import GitHubStatus, GitLabStatus, Report, RunNews, State

SHA, OTHER = "a" * 40, "b" * 64
REPO = {"full_name": "acme/ml"}
GITHUB, GITLAB = GitHubStatus(token="t"), GitLabStatus(token="t")


def path_of(report: Report, data: Any, state: State = "pending") -> str | None:
    event = Event(source="s", id="1", type="t", time=datetime(2026, 1, 1, tzinfo=UTC), data=data)
    call = report.call(RunNews(7, "flights", state), event)
    return None if call is None else call.path


@pytest.mark.parametrize(
    ("data", "commit"),
    [
        ({"after": SHA}, SHA),
        ({"after": OTHER}, OTHER),
        ({"pull_request": {"head": {"sha": SHA}}, "after": OTHER}, SHA),
        ({"workflow_run": {"head_sha": SHA}}, SHA),
        ({"check_suite": {"head_sha": SHA}}, SHA),
        ({"deployment": {"sha": SHA}}, SHA),
        ({"sha": SHA}, SHA),
        ({"after": "0" * 40}, None),
        ({"after": "main"}, None),
        ({"after": SHA + "/../x"}, None),
        ({}, None),
    ],
)
def test_github_hears_of_the_commit_that_a_delivery_is_about(data: dict[str, Any], commit: str | None) -> None:
    expected = None if commit is None else f"/repos/acme/ml/statuses/{commit}"
    assert path_of(GITHUB, {**data, "repository": REPO}) == expected


@pytest.mark.parametrize("name", ["acme/ml/../other", "acme", "acme/ml?x", "", None, 3, "é/ml"])
def test_github_is_called_for_nothing_that_is_no_repository(name: Any) -> None:
    assert path_of(GITHUB, {"after": SHA, "repository": {"full_name": name}}) is None


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"checkout_sha": SHA, "after": "0" * 40, "project": {"id": 7}}, f"/projects/7/statuses/{SHA}"),
        ({"object_attributes": {"last_commit": {"id": SHA}}, "project": {"id": 7}}, f"/projects/7/statuses/{SHA}"),
        ({"object_attributes": {"sha": SHA}, "project": {"id": 7}}, f"/projects/7/statuses/{SHA}"),
        ({"sha": SHA, "project_id": 7}, f"/projects/7/statuses/{SHA}"),
        ({"sha": SHA, "project_id": "7/.."}, None),
        ({"sha": SHA, "project_id": True}, None),
        ([], None),
        (None, None),
    ],
)
def test_gitlab_hears_of_it_by_project(data: Any, path: str | None) -> None:
    assert path_of(GITLAB, data) == path


@pytest.mark.parametrize(
    ("state", "github", "gitlab"),
    [
        ("pending", "pending", "pending"),
        ("success", "success", "success"),
        ("failure", "failure", "failed"),
        ("cancelled", "error", "canceled"),
    ],
)
def test_each_state_has_the_name_it_has_there(state: State, github: str, gitlab: str) -> None:
    event = Event(
        source="s",
        id="1",
        type="t",
        time=datetime(2026, 1, 1, tzinfo=UTC),
        data={"after": SHA, "repository": REPO, "project": {"id": 7}},
    )
    for report, name, wanted in ((GITHUB, "context", github), (GITLAB, "name", gitlab)):
        call = report.call(RunNews(7, "flights", state), event)
        assert call is not None
        told = orjson.loads(call.body)
        assert (told["state"], told[name]) == (wanted, "tidemill/flights")
        assert len(told["description"]) <= 140


@pytest.mark.parametrize(
    ("report", "status", "headers", "body", "verdict"),
    [
        (GITHUB, 201, {}, b"", "done"),
        (GITHUB, 422, {}, b"", "refused"),
        (GITHUB, 404, {}, b"", "refused"),
        (GITHUB, 403, {}, b"", "refused"),
        (GITHUB, 403, {"x-ratelimit-remaining": "0"}, b"", "again"),
        (GITHUB, 403, {"retry-after": "60"}, b"", "again"),
        (GITHUB, 429, {}, b"", "again"),
        (GITHUB, 401, {}, b"", "again"),
        (GITHUB, 302, {}, b"", "again"),
        (GITHUB, 502, {}, b"", "again"),
        (GITLAB, 201, {}, b"", "done"),
        (GITLAB, 400, {}, b'{"message":"Cannot transition status via :enqueue from :pending"}', "done"),
        (GITLAB, 400, {}, b"", "refused"),
        (GITLAB, 404, {}, b"", "refused"),
        (GITLAB, 401, {}, b"", "again"),
        (GITLAB, 500, {}, b"", "again"),
    ],
)
def test_an_answer_means(report: Report, status: int, headers: dict[str, str], body: bytes, verdict: str) -> None:
    assert report.verdict(status, headers, body) == verdict


@pytest.mark.parametrize("make", [GitHubStatus, GitLabStatus])
@pytest.mark.parametrize(
    "fields",
    [{"url": "http://github.example"}, {"url": "ftp://127.0.0.1"}, {"url": "https://u:p@h"}, {"url": "https://"},
     {"url": "https://h?x=1"}, {"url": "http://127.0.0.1.evil.example"}, {"token": ""}, {"context": ""},
     {"link": "http://mill.example/{run}"}],
    ids=repr,
)  # fmt: skip
def test_declared_wrongly_is_refused(make: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidTrigger):
        make(**{"token": "t", **fields})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost/api/v3", "http://[::1]:1", "https://h/api/v4"]
)
def test_a_token_goes_by_tls_or_nowhere_but_here(url: str) -> None:
    GitHubStatus(token="t", url=url)
    assert "t'" not in repr(GitHubStatus(token="t"))


def test_a_missing_token_is_named_when_the_pipeline_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATUS_TOKEN", raising=False)
    with pytest.raises(InvalidTrigger, match="'STATUS_TOKEN' is not set"):
        GitHubStatus(token="env:STATUS_TOKEN").check()
