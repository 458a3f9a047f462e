"""Which CI job this is: read from the variables that each system sets in its jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

Environ = Mapping[str, str]

_STATUSES = {
    "success": ("success", "succeeded", "passed", "pass", "ok", "fixed", "0"),
    "failure": ("failure", "failed", "fail", "error", "unstable", "broken", "timedout"),
    "cancelled": ("cancelled", "canceled", "aborted", "not_built", "skipped"),
    "running": ("running", "started", "pending"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What a job knows of itself; empty where its CI does not say. `build` and `attempt` tell its runs apart,
    `leg` the jobs that a matrix makes under one name.
    """

    provider: str = "ci"
    repository: str = ""
    commit: str = ""
    branch: str = ""
    tag: str = ""
    workflow: str = ""
    job: str = ""
    build: str = ""
    attempt: str = ""
    leg: str = ""
    url: str = ""
    status: str = ""

    def data(self) -> dict[str, Any]:
        """What is known, as the event carries it."""
        return {name: value for name, value in asdict(self).items() if value}


def status_word(told: str) -> str:
    """One of success, failure, cancelled, running for what a CI calls it. Raises ValueError for another word."""
    word = told.strip().lower()
    for status, words in _STATUSES.items():
        if word in words:
            return status
    if word.isascii() and word.isdigit():
        return "failure"
    raise ValueError(f"status {told!r}: give {', '.join(_STATUSES)}, or an exit code")


def detect(environ: Environ) -> Build:
    """The job that runs here; one without facts where no CI is known."""
    for variable, read in _KNOWN.items():
        if environ.get(variable, "").lower() not in ("", "false", "0"):
            return read(lambda name: environ.get(name, "").strip())
    return Build()


Get = Callable[[str], str]


def _github(get: Get) -> Build:
    server, repository, run = get("GITHUB_SERVER_URL"), get("GITHUB_REPOSITORY"), get("GITHUB_RUN_ID")
    tagged = get("GITHUB_REF_TYPE") == "tag"
    return Build(
        provider="github-actions",
        repository=repository,
        commit=get("GITHUB_SHA"),
        branch="" if tagged else get("GITHUB_HEAD_REF") or get("GITHUB_REF_NAME"),
        tag=get("GITHUB_REF_NAME") if tagged else "",
        workflow=get("GITHUB_WORKFLOW"),
        job=get("GITHUB_JOB"),
        build=run,
        attempt=get("GITHUB_RUN_ATTEMPT"),
        # No variable tells the jobs of a matrix apart but the one by which the runner knows each job's processes.
        leg=get("RUNNER_TRACKING_ID").removeprefix("github_"),
        url=f"{server}/{repository}/actions/runs/{run}" if server and run else "",
    )


def _gitlab(get: Get) -> Build:
    tag = get("CI_COMMIT_TAG")
    branch = get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME") or get("CI_COMMIT_BRANCH") or get("CI_COMMIT_REF_NAME")
    return Build(
        provider="gitlab-ci",
        repository=get("CI_PROJECT_PATH"),
        commit=get("CI_COMMIT_SHA"),
        branch="" if tag else branch,
        tag=tag,
        workflow=get("CI_PIPELINE_NAME"),
        job=get("CI_JOB_NAME"),
        build=get("CI_PIPELINE_ID"),
        # A job that is retried has an id of its own.
        attempt=get("CI_JOB_ID"),
        url=get("CI_JOB_URL") or get("CI_PIPELINE_URL"),
        status=_known_status(get("CI_JOB_STATUS")),
    )


def _circleci(get: Get) -> Build:
    parts = (get("CIRCLE_PROJECT_USERNAME"), get("CIRCLE_PROJECT_REPONAME"))
    return Build(
        provider="circleci",
        repository="/".join(part for part in parts if part),
        commit=get("CIRCLE_SHA1"),
        branch=get("CIRCLE_BRANCH"),
        tag=get("CIRCLE_TAG"),
        workflow=get("CIRCLE_WORKFLOW_ID"),
        job=get("CIRCLE_JOB"),
        build=get("CIRCLE_BUILD_NUM"),
        url=get("CIRCLE_BUILD_URL"),
    )


def _buildkite(get: Get) -> Build:
    return Build(
        provider="buildkite",
        repository=_repository(get("BUILDKITE_REPO")),
        commit=get("BUILDKITE_COMMIT"),
        branch=get("BUILDKITE_BRANCH"),
        tag=get("BUILDKITE_TAG"),
        workflow=get("BUILDKITE_PIPELINE_SLUG"),
        job=get("BUILDKITE_STEP_KEY") or get("BUILDKITE_LABEL"),
        build=get("BUILDKITE_BUILD_ID"),
        attempt=get("BUILDKITE_JOB_ID"),
        url=get("BUILDKITE_BUILD_URL"),
        status=_known_status(get("BUILDKITE_COMMAND_EXIT_STATUS")),
    )


def _bitbucket(get: Get) -> Build:
    origin, number = get("BITBUCKET_GIT_HTTP_ORIGIN"), get("BITBUCKET_BUILD_NUMBER")
    return Build(
        provider="bitbucket-pipelines",
        repository=get("BITBUCKET_REPO_FULL_NAME"),
        commit=get("BITBUCKET_COMMIT"),
        branch=get("BITBUCKET_BRANCH"),
        tag=get("BITBUCKET_TAG"),
        job=get("BITBUCKET_STEP_UUID").strip("{}"),
        build=number,
        attempt=get("BITBUCKET_STEP_RUN_NUMBER"),
        url=f"{origin}/pipelines/results/{number}" if origin else "",
        status=_known_status(get("BITBUCKET_EXIT_CODE")),
    )


def _jenkins(get: Get) -> Build:
    return Build(
        provider="jenkins",
        repository=_repository(get("GIT_URL")),
        commit=get("GIT_COMMIT"),
        branch=get("BRANCH_NAME") or get("GIT_BRANCH").removeprefix("origin/"),
        tag=get("TAG_NAME"),
        workflow=get("JOB_NAME"),
        job=get("STAGE_NAME"),
        # Numbers begin anew when a job is made anew; its address and number together are what there is.
        build=get("BUILD_TAG") or get("BUILD_NUMBER"),
        url=get("BUILD_URL"),
    )


# Several may be set at once: Jenkins may run inside of another, Gitea and Forgejo set GitHub's.
_KNOWN: Mapping[str, Callable[[Get], Build]] = {
    "GITHUB_ACTIONS": _github,
    "GITLAB_CI": _gitlab,
    "CIRCLECI": _circleci,
    "BUILDKITE": _buildkite,
    "BITBUCKET_BUILD_NUMBER": _bitbucket,
    "JENKINS_URL": _jenkins,
}


def _known_status(told: str) -> str:
    try:
        return status_word(told) if told else ""
    except ValueError:
        return ""


def _repository(url: str) -> str:
    """`acme/flights` of the address from which git clones it, without any password in it."""
    scp = re.fullmatch(r"(?:[^@/]+@)?[^/:]+:(?!//)(.+)", url)
    path = scp[1] if scp else urlsplit(url).path
    return path.strip("/").removesuffix(".git")
