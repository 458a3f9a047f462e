"""Telling a code host how a run went: the commit status that a delivery's run has there.

Pure: what to call for which event and state, and what an answer means. `service.sinks.statuses` makes the calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlsplit

import orjson

from triggers.declared import Declared
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.secret import Secret, check, resolve

State = Literal["pending", "success", "failure", "cancelled"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_GITHUB_COMMITS: Sequence[Sequence[str]] = (
    ("pull_request", "head", "sha"),
    ("workflow_run", "head_sha"),
    ("check_suite", "head_sha"),
    ("check_run", "head_sha"),
    ("deployment", "sha"),
    ("after",),
    ("sha",),
)
_GITLAB_COMMITS: Sequence[Sequence[str]] = (
    ("object_attributes", "last_commit", "id"),
    ("object_attributes", "sha"),
    ("merge_request", "last_commit", "id"),
    ("checkout_sha",),
    ("after",),
    ("sha",),
    ("commit", "id"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `POST path` below the report's URL. `about` names it for people."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    about: str


@dataclass(frozen=True, slots=True)
class RunNews:
    """What is to be told of a run."""

    run_id: int
    pipeline: str
    state: State


class Report(Protocol):
    """Where and how a run's state is told."""

    url: str

    def check(self) -> None:
        """Raises `InvalidTrigger` when a token is missing: asked once, when its pipeline loads."""

    def call(self, news: RunNews, event: Event) -> Call | None:
        """What to send, or None for an event that names no commit."""

    def verdict(self, status: int, headers: Mapping[str, str], body: bytes) -> Literal["done", "refused", "again"]:
        """Whether an answer means that it is done, that it never will be, or that it is worth another try."""


@dataclass(frozen=True)
class GitHubStatus(metaclass=Declared):
    """A commit status at GitHub. The token needs `statuses: write` (classic: `repo:status`).

    `url` is that of the API; GitHub Enterprise has it at `https://HOST/api/v3`. `context` tells statuses of one commit
    apart (default: `tidemill/PIPELINE`); the same one is written over. `link` is where the status leads, with `{run}`
    for the run's number.
    """

    token: Secret = field(repr=False)
    url: str = "https://api.github.com"
    context: str | None = None
    link: str | None = None

    def __post_init__(self) -> None:
        _check(self, "GitHubStatus")

    def check(self) -> None:
        """Raises `InvalidTrigger` when the token is missing."""
        resolve(self.token, "GitHubStatus")

    def call(self, news: RunNews, event: Event) -> Call | None:
        """`POST /repos/OWNER/NAME/statuses/SHA`."""
        repository = _at(event.data, ("repository", "full_name"))
        commit = _commit(event.data, _GITHUB_COMMITS)
        if commit is None or not isinstance(repository, str) or not _REPOSITORY.fullmatch(repository):
            return None
        state = "error" if news.state == "cancelled" else news.state
        told = {"state": state, "context": _context(self.context, news), "description": _said(news)}
        body = orjson.dumps(told | _link(self.link, "target_url", news))
        headers = {
            "Authorization": f"Bearer {resolve(self.token, 'GitHubStatus')[0].decode('latin-1')}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        return Call(f"/repos/{repository}/statuses/{commit}", headers, body, f"{repository}@{commit[:10]}")

    def verdict(self, status: int, headers: Mapping[str, str], body: bytes) -> Literal["done", "refused", "again"]:
        """A repository or commit that is not there will not come; a limit passes, a token may be replaced."""
        if 200 <= status < 300:
            return "done"
        limited = "retry-after" in headers or headers.get("x-ratelimit-remaining") == "0"
        if status in (400, 404, 410, 422) or (status == 403 and not limited):
            return "refused"
        return "again"


@dataclass(frozen=True)
class GitLabStatus(metaclass=Declared):
    """A commit status at GitLab. The token needs the scope `api` and the role Developer.

    `url` is that of the API, `https://HOST/api/v4`. `context` and `link` as for `GitHubStatus`.
    """

    token: Secret = field(repr=False)
    url: str = "https://gitlab.com/api/v4"
    context: str | None = None
    link: str | None = None

    def __post_init__(self) -> None:
        _check(self, "GitLabStatus")

    def check(self) -> None:
        """Raises `InvalidTrigger` when the token is missing."""
        resolve(self.token, "GitLabStatus")

    def call(self, news: RunNews, event: Event) -> Call | None:
        """`POST /projects/ID/statuses/SHA`."""
        project = _at(event.data, ("project", "id")) or _at(event.data, ("project_id",))
        commit = _commit(event.data, _GITLAB_COMMITS)
        if commit is None or isinstance(project, bool) or not isinstance(project, int):
            return None
        state = {"failure": "failed", "cancelled": "canceled"}.get(news.state, news.state)
        told = {"state": state, "name": _context(self.context, news), "description": _said(news)}
        body = orjson.dumps(told | _link(self.link, "target_url", news))
        token = resolve(self.token, "GitLabStatus")[0].decode("latin-1")
        return Call(
            f"/projects/{project}/statuses/{commit}", {"PRIVATE-TOKEN": token}, body, f"{project}@{commit[:10]}"
        )

    def verdict(self, status: int, headers: Mapping[str, str], body: bytes) -> Literal["done", "refused", "again"]:
        """A 400 that says "Cannot transition status" means that the status is there already."""
        if 200 <= status < 300 or (status == 400 and b"Cannot transition status" in body):
            return "done"
        return "refused" if status in (400, 403, 404, 410, 422) else "again"


def check_url(url: str, what: str) -> None:
    """Raises `InvalidTrigger` for an address that a secret must not go to: https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    near = host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    if not host or parts.scheme not in (("https", "http") if near else ("https",)) or parts.query or parts.username:
        raise InvalidTrigger(f"{what}: url {url!r}: give https://HOST/..., without a password or query")


def _check(report: GitHubStatus | GitLabStatus, what: str) -> None:
    check_url(report.url, what)
    check(report.token, what)
    if report.context is not None and not 0 < len(report.context) <= 255:
        raise InvalidTrigger(f"{what}: context {report.context!r}: give 1 to 255 characters")
    if report.link is not None:
        link = report.link.replace("{run}", "1")
        check_url(link, f"{what}: link")
        if "{" in link or "}" in link:
            raise InvalidTrigger(f"{what}: link {report.link!r}: only {{run}} is filled in: leave other braces out")


def _at(data: Any, path: Sequence[str]) -> Any:
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    return data


def _commit(data: Any, paths: Sequence[Sequence[str]]) -> str | None:
    """The commit a payload is about; a branch that was deleted has none."""
    found = (_at(data, path) for path in paths)
    shas = [one for one in found if isinstance(one, str) and _COMMIT.fullmatch(one)]
    return shas[0] if shas and int(shas[0], 16) else None


def _context(context: str | None, news: RunNews) -> str:
    return context or f"tidemill/{news.pipeline}"


def _said(news: RunNews) -> str:
    words = {"pending": "is under way", "success": "succeeded", "failure": "failed", "cancelled": "was cancelled"}
    return f"run {news.run_id} {words[news.state]}"


def _link(link: str | None, name: str, news: RunNews) -> dict[str, str]:
    return {} if link is None else {name: link.replace("{run}", quote(str(news.run_id)))}
