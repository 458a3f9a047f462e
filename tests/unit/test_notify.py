"""`tidemill notify`: what each CI says of a job, and sending it until a daemon has it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer

from service.cli.main import build_app
from service.notify.build import Build, detect, status_word
from service.notify.options import Options, parse
from service.notify.sending import GaveUp, Refused, event_of, send, to_events, to_hook
from triggers.cloudevents import from_json
from triggers.headers import key_of

SHA = "a" * 40
GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/ml",
    "GITHUB_SHA": SHA, "GITHUB_REF_TYPE": "branch", "GITHUB_REF_NAME": "main", "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_ATTEMPT": "2", "GITHUB_WORKFLOW": "ci", "GITHUB_JOB": "test",
}  # fmt: skip
GITLAB = {
    "GITLAB_CI": "true", "CI_PROJECT_PATH": "acme/group/ml", "CI_COMMIT_SHA": SHA, "CI_COMMIT_BRANCH": "main",
    "CI_PIPELINE_ID": "5", "CI_JOB_ID": "9", "CI_JOB_NAME": "test: [a]", "CI_JOB_STATUS": "failed",
    "CI_JOB_URL": "https://gitlab.com/j/9",
}  # fmt: skip
CIRCLE = {
    "CIRCLECI": "true", "CIRCLE_PROJECT_USERNAME": "acme", "CIRCLE_PROJECT_REPONAME": "ml", "CIRCLE_SHA1": SHA,
    "CIRCLE_BRANCH": "main", "CIRCLE_BUILD_NUM": "12", "CIRCLE_JOB": "test", "CIRCLE_WORKFLOW_ID": "w-1",
}  # fmt: skip
BUILDKITE = {
    "BUILDKITE": "true", "BUILDKITE_REPO": "git@github.com:acme/ml.git", "BUILDKITE_COMMIT": SHA,
    "BUILDKITE_BRANCH": "main", "BUILDKITE_BUILD_ID": "b-1", "BUILDKITE_JOB_ID": "j-1", "BUILDKITE_LABEL": "test",
    "BUILDKITE_COMMAND_EXIT_STATUS": "3",
}  # fmt: skip
BITBUCKET = {
    "BITBUCKET_BUILD_NUMBER": "4", "BITBUCKET_REPO_FULL_NAME": "acme/ml", "BITBUCKET_COMMIT": SHA,
    "BITBUCKET_BRANCH": "main", "BITBUCKET_STEP_UUID": "{u-1}", "BITBUCKET_EXIT_CODE": "0",
    "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.org/acme/ml",
}  # fmt: skip
JENKINS = {
    "JENKINS_URL": "https://ci/", "GIT_URL": "https://user:secret@git.example/acme/ml.git", "GIT_COMMIT": SHA,
    "GIT_BRANCH": "origin/main", "JOB_NAME": "ml", "BUILD_TAG": "jenkins-ml-8", "BUILD_URL": "https://ci/job/ml/8/",
}  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "provider", "repository", "status", "event_id"),
    [
        (GITHUB, "github-actions", "acme/ml", "", "77/2/test/-"),
        (GITLAB, "gitlab-ci", "acme/group/ml", "failure", "5/9/test: [a]/failure"),
        (CIRCLE, "circleci", "acme/ml", "", "12/-/test/-"),
        (BUILDKITE, "buildkite", "acme/ml", "failure", "b-1/j-1/test/failure"),
        (BITBUCKET, "bitbucket-pipelines", "acme/ml", "success", "4/-/u-1/success"),
        (JENKINS, "jenkins", "acme/ml", "", "jenkins-ml-8/-/-/-"),
    ],
)
def test_each_ci_is_known_by_its_variables(
    environ: Mapping[str, str], provider: str, repository: str, status: str, event_id: str
) -> None:
    build = detect(environ)
    assert (build.provider, build.repository, build.commit) == (provider, repository, SHA)
    assert (build.branch, build.status) == ("main", status)
    event = event_of(build, None)
    assert event["id"] == event_id
    # It is an event as the daemon reads it, and the same one each time.
    assert from_json(event).key == from_json(event_of(detect(environ), None)).key
    assert "secret" not in json.dumps(event)


def test_a_pull_request_is_of_its_own_branch_and_a_tag_of_none() -> None:
    assert detect({**GITHUB, "GITHUB_HEAD_REF": "feature", "GITHUB_REF_NAME": "5/merge"}).branch == "feature"
    tagged = detect({**GITHUB, "GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v1"})
    assert (tagged.branch, tagged.tag) == ("", "v1")
    assert detect({**GITLAB, "CI_COMMIT_TAG": "v1"}).branch == ""


def test_outside_of_any_ci_each_call_is_an_event_of_its_own() -> None:
    assert detect({"GITHUB_ACTIONS": "false"}) == detect({}) == Build()
    first, second = event_of(Build(repository="acme/ml", status="success"), None), event_of(Build(), None)
    assert first["id"] != second["id"]
    assert (first["source"], second["source"]) == ("ci:ci/acme/ml", "ci:ci/")


@pytest.mark.parametrize(
    ("told", "word"), [("passed", "success"), ("0", "success"), ("1", "failure"), ("FAILED", "failure"),
                       ("137", "failure"), ("aborted", "cancelled"), ("started", "running")],
)  # fmt: skip
def test_what_a_ci_calls_a_status(told: str, word: str) -> None:
    assert status_word(told) == word


@pytest.mark.parametrize("told", ["", "maybe", "-1", "1.5"])
def test_another_word_is_no_status(told: str) -> None:
    with pytest.raises(ValueError, match="success"):
        status_word(told)


def told_id(*arguments: str, **more: str) -> str:
    shown = command("--dry-run", "--status", "success", *arguments, **GITHUB, **more)
    found: str = json.loads(shown.stdout)["id"]
    return found


def test_a_job_that_tells_of_several_things_tells_of_each() -> None:
    months = [told_id("--data", json.dumps({"dataset": month})) for month in ("2013-01", "2013-02", "2013-01")]
    assert months[0] == months[2] != months[1]
    assert told_id() == "77/2/test/success"
    assert told_id("--data", '{"b": 1, "a": 2}') == told_id("--data", '{"a": 2, "b": 1}') != told_id()
    assert told_id("--data", "null") != told_id("--data", "0")
    assert len({told_id(), told_id("--commit", "b" * 40), told_id("--branch", "b" * 40)}) == 3
    assert told_id("--id", "mine", "--data", "1") == "mine"


def test_the_jobs_of_a_matrix_have_one_name_and_are_told_apart() -> None:
    legs = [told_id(RUNNER_TRACKING_ID=f"github_{leg}") for leg in ("one", "two", "one")]
    assert legs[0] == legs[2] == "77/2/test/one/success"
    assert legs[1] == "77/2/test/two/success"


def test_a_hook_gets_what_the_event_carries_under_the_same_name() -> None:
    event = event_of(detect(GITLAB), None, {"auc": 0.9})
    message = to_hook(event, "ci é")
    assert message.path == "/hooks/ci%20%C3%A9"
    assert json.loads(message.body)["data"] == {"auc": 0.9}
    folded = {name.lower(): value for name, value in message.headers.items()}
    assert key_of(folded, "Idempotency-Key") == f"{event['source']} {event['id']}"


class Server:
    """Answers with these statuses in turn, then 202; keeps what came. 0: hangs up."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []
        self.authorizations: list[str | None] = []
        self.url = ""

    def next(self) -> int:
        return self.statuses.pop(0) if self.statuses else 202


@contextmanager
def serving(*statuses: int) -> Iterator[Server]:
    told = Server(*statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            told.authorizations.append(self.headers["Authorization"])
            status = told.next()
            if status == 0:
                self.close_connection = True
                return
            event = {"id": "e", "fate": "ran", "reason": "", "runs": [7]}
            body = json.dumps({"events": [event]} if status < 300 else {"detail": "it says no"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 429:
                self.send_header("Retry-After", "3")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_it_is_sent_again_until_it_is_taken_and_is_one_event() -> None:
    pauses: list[float] = []
    with serving(503, 429, 0, 502) as server:
        answer = send(server.url, "t", to_events(event_of(Build(), None)), patience_s=60, sleep=pauses.append)
    assert answer["events"][0]["runs"] == [7]
    assert len({json.loads(body)["id"] for body in server.bodies}) == 1
    assert len(server.bodies) == 5
    assert set(server.authorizations) == {"Bearer t"}
    assert pauses[1] >= 3, "Retry-After is heard"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 413, 422])
def test_what_is_refused_is_not_sent_again(status: int) -> None:
    with serving(status) as server, pytest.raises(Refused, match=f"{status}: it says no"):
        send(server.url, None, to_events(event_of(Build(), None)), patience_s=60)
    assert len(server.bodies) == 1


def test_it_gives_up_in_the_end_and_says_that_it_may_be_sent_again() -> None:
    with pytest.raises(GaveUp, match=r"no daemon answers.*one event"):
        send("http://127.0.0.1:9", None, to_events(event_of(Build(), None)), patience_s=0.1)


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command as a job calls it."""
    code = "from service.cli.entry import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "notify", *arguments],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )


def test_the_command_tells_what_became_of_it_and_exits_so() -> None:
    with serving() as server:
        done = command("--status", "failed", TIDEMILL_URL=server.url, TIDEMILL_API_TOKEN="api", **GITHUB)
    assert (done.returncode, done.stdout) == (0, "event e: run 7\n"), done.stderr
    assert json.loads(server.bodies[0])["data"]["status"] == "failure"
    assert server.authorizations == ["Bearer api"]
    with serving() as server:
        command("--status", "0", "--hook", "ci", "--url", server.url, HOOK_TOKEN="hook", TIDEMILL_API_TOKEN="api")
    assert server.authorizations == ["Bearer hook"]
    with serving(401) as server:
        refused = command("--status", "0", "--url", server.url)
    assert (refused.returncode, refused.stderr) == (2, "tidemill notify: 401: it says no\n")
    assert command("--status", "0", "--url", "http://127.0.0.1:9", "--patience", "0.1").returncode == 75
    assert command("--status", "maybe").returncode == 2
    assert command("--data", "{").returncode == 2


def test_the_daemon_is_the_one_that_the_settings_describe_where_no_address_is_given(tmp_path: Path) -> None:
    with serving() as server:
        port = server.url.rpartition(":")[2]
        assert command("--status", "0", "--patience", "5", TIDEMILL_HTTP_PORT=port).returncode == 0
        file = tmp_path / "mill.toml"
        file.write_text(f'[http]\nport = {port}\napi_token = "of-the-file"\n')
        assert command("--status", "0", "--patience", "5", TIDEMILL_CONFIG=str(file)).returncode == 0
        elsewhere = command("--status", "0", "--url", server.url, TIDEMILL_CONFIG=str(tmp_path / "missing"))
        assert elsewhere.returncode == 0, "who says the address needs no settings"
    assert server.authorizations == [None, "Bearer of-the-file", None]
    any_port = command("--status", "0", TIDEMILL_HTTP_PORT="0")
    assert (any_port.returncode, "set TIDEMILL_URL" in any_port.stderr) == (2, True)


def test_a_job_whose_end_nobody_tells_is_no_success() -> None:
    told = command("--dry-run", **GITHUB)
    assert (told.returncode, "--status ${{ job.status }}" in told.stderr, told.stdout) == (2, True, "")
    assert command("--dry-run", **GITLAB).returncode == 0


def test_a_token_that_is_not_there_is_said_to_be_missing() -> None:
    told = command("--status", "0", "--url", "http://127.0.0.1:9", "--hook", "ci", "--token-from", "UNSET")
    assert (told.returncode, "--token-from UNSET: this variable is not set" in told.stderr) == (2, True)


def test_the_command_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys; sys.argv = ['tidemill', 'notify', '--dry-run', '--status', 'success']\n"
        "from service.cli.entry import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'typer', 'pydantic', 'rich', 'orjson', 'asyncio'}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    event, _, loaded = done.stdout.rpartition("}\n")
    assert json.loads(event + "}")["data"]["status"] == "success"
    assert loaded.strip() == "[]"


def test_both_ways_to_the_command_take_the_same_options() -> None:
    shown = typer.main.get_command(build_app()).commands["notify"].params  # type: ignore[attr-defined]
    names = {max(one.opts, key=len).removeprefix("--").replace("-", "_") for one in shown}
    assert names == set(Options.__dataclass_fields__)
    assert parse([]) == Options()
    assert parse(["-w", "--token-from", "X", "--patience", "5"]) == Options(wait=True, token_from="X", patience=5.0)
