"""The command line against a daemon: what is typed, what is told, what a script sees."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.cli import main as entry
from service.cli import output
from service.client import Client
from service.remote_registry import RemoteRegistry
from stages.artifacts import digest_of
from stages.registry import AliasMoved, NewVersion
from tests.conftest import BackgroundLoop
from tests.db import mill
from tests.db.writing import rows

Ran = tuple[int, str, str]
Tidemill = Callable[..., Ran]


@pytest.fixture(scope="module")
def served(
    session_loop: BackgroundLoop, postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Path]]:
    """One daemon for all tests of this module: its address, its database, its root."""
    root = tmp_path_factory.mktemp("cli")
    (root / "landing").mkdir()
    session_loop.run(rows(postgres, f"create database command_line template {migrated_template} strategy wal_log"))
    dsn = postgres.replace("/tidemill?", "/command_line?", 1)
    with mill.running_daemon(dsn, root) as daemon:
        yield daemon.address, dsn, root
    session_loop.run(rows(postgres, "drop database command_line with (force)"))


@pytest.fixture
def client(served: tuple[str, str, Path]) -> Client:
    return Client(served[0])


@pytest.fixture
def tidemill(
    served: tuple[str, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Tidemill]:
    """Run a command line: exit code, standard output, standard error."""
    for name in [name for name in os.environ if name.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TIDEMILL_URL", served[0])
    monkeypatch.setenv("LOGNAME", "kim")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["tidemill", *arguments])
        with pytest.raises(SystemExit) as caught:
            entry.main()
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), out, err

    yield run
    root.handlers[:], root.level = handlers, level


def start(tidemill: Tidemill, *arguments: str) -> str:
    """Start a run and return its number as one types it."""
    code, out, _ = tidemill("run", *arguments, "--json")
    assert code == 0
    return str(json.loads(out)["events"][0]["runs"][0])


def ended(tidemill: Tidemill, run: str) -> str:
    """Wait until a run has finished, by following its log, and return its state."""
    assert tidemill("logs", run, "--follow")[0] == 0
    return str(json.loads(tidemill("show", run, "--json")[1])["state"])


def test_what_an_event_carries_comes_out_byte_for_byte(
    tidemill: Tidemill, served: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"ce-specversion": "1.0", "ce-source": "/raw", "ce-type": "t", "content-type": "application/x-odd"}
    httpx.post(f"{served[0]}/api/v1/events", content=b"\xff\0\n", headers=headers | {"ce-id": "raw-1"})
    text = headers | {"ce-id": "raw-2", "content-type": "text/plain"}
    httpx.post(f"{served[0]}/api/v1/events", content="é\n".encode(), headers=text)
    written = []
    monkeypatch.setattr(output, "write_bytes", written.append)
    assert [tidemill("event", f"raw-{number}", "--raw")[:2] for number in (1, 2)] == [(0, ""), (0, "")]
    assert written == [b"\xff\0\n", "é\n".encode()]


def test_a_run_goes_to_its_gate_is_approved_and_answers_predictions(tidemill: Tidemill) -> None:
    code, out, err = tidemill("run", "mill", "--param", "rows=4", "--wait")
    assert code == 3
    told = [line.split()[:2] for line in err.splitlines()]
    assert told == [["ingest", "succeeded"], ["train", "succeeded"], ["register", "succeeded"]]
    run = out.split()[1]
    assert out.splitlines()[0] == f"run {run} waiting: it waits for somebody to decide gate register-deploy"
    assert out.splitlines()[-1] == f"next: tidemill approve {run} register-deploy --by NAME"
    assert tidemill("runs", "--state", "waiting")[1].count("waits for register-deploy") == 1
    assert tidemill("predict", "mill", "1")[0] == 2

    decided = tidemill("approve", run, "register-deploy", "--by", "lou", "--reason", "good")
    note = "note: no groups are set (TIDEMILL_GROUPS), so anybody may decide for kim\n"
    assert decided == (0, f"gate register-deploy of run {run} is approved by lou\n", note)
    assert ended(tidemill, run) == "succeeded"
    assert json.loads(tidemill("predict", "mill", "10")[1]) == {"sum": 16, "model": "mill", "version": 1}
    assert "production -> 1" in tidemill("models")[1]
    assert "sum 6" in tidemill("models", "mill")[1]
    shown = tidemill("show", run)[1]
    assert '"rows": 4' in shown
    assert "good" in shown
    assert '"by": "kim"' in tidemill("show", run, "--json")[1]
    assert tidemill("approve", run, "register-deploy", "--by", "kim")[0] == 2


def test_a_rejected_run_fails_and_resume_asks_again(tidemill: Tidemill) -> None:
    code, out, _ = tidemill("run", "mill", "--wait", "--json")
    assert code == 3
    run = str(json.loads(out)["id"])
    rejected = tidemill("reject", run, "register-deploy", "--by", "lou", "--reason", "worse for small carriers")
    assert rejected[1].endswith("is rejected by lou\n")
    assert ended(tidemill, run) == "failed"
    shown = tidemill("show", run)[1]
    assert f"next: tidemill resume {run}" in shown
    assert "\nfailed: gate register-deploy: rejected by lou: worse for small carriers\n" in shown
    assert tidemill("resume", run)[1] == f"run {run} is queued again: tidemill show {run}\n"
    assert tidemill("cancel", run)[0] == 0
    assert ended(tidemill, run) == "cancelled"


def test_a_link_decides_a_gate_by_its_button(tidemill: Tidemill) -> None:
    run = str(json.loads(tidemill("run", "mill", "--wait", "--json")[1])["id"])
    code, out, _ = tidemill("link", run, "register-deploy", "--for", "lou", "--decision", "approve", "--expires", "8h")
    assert code == 0
    url = out.strip()
    assert "Approve gate register-deploy?" in httpx.get(url).text
    assert "waits for" in tidemill("show", run)[1]
    assert httpx.post(url, data={"confirm": "approved"}).status_code == 200
    assert ended(tidemill, run) == "succeeded"
    assert httpx.post(url, data={"confirm": "approved"}).status_code == 410
    assert tidemill("link", run, "register-deploy", "--for", "lou")[0] == 2
    assert tidemill("link", run, "register-deploy", "--for", "lou", "--expires", "soon")[0] == 2


def test_a_stage_that_others_need_is_not_skipped_and_one_that_may_be_is_shown_first(tidemill: Tidemill) -> None:
    run = json.loads(tidemill("run", "mill", "--param", "fail=gone", "--wait", "--json")[1])["id"]
    code, _, err = tidemill("skip", str(run), "ingest", "--reason", "gone", "--on", "latest", "--dry-run")
    assert code == 2
    assert "ingest cannot be skipped: train cannot do without its output" in err
    planned = tidemill("skip", str(run), "deploy", "--reason", "not now", "--on", "latest", "--dry-run")
    assert planned[0] == 0
    assert "skipped by kim: not now" in planned[1]
    assert ended(tidemill, str(run)) == "failed"
    assert tidemill("skip", str(run), "deploy", "--reason", "not now")[1].startswith(
        f"run {run} goes on without deploy"
    )


def test_names_that_are_not_there_are_told_with_those_that_are(tidemill: Tidemill) -> None:
    run = str(json.loads(tidemill("run", "mill", "--wait", "--json")[1])["id"])
    code, _, err = tidemill("logs", run, "trian")
    assert (code, "has no stage 'trian'" in err, "did you mean 'train'" in err) == (2, True, True)
    code, _, err = tidemill("runs", "--pipeline", "mil")
    assert (code, "no pipeline 'mil' is known" in err) == (2, True)


def test_a_gate_is_decided_about_the_artifact_that_was_shown(tidemill: Tidemill) -> None:
    run = str(json.loads(tidemill("run", "mill", "--wait", "--json")[1])["id"])
    subject = json.loads(tidemill("show", run, "--json")[1])["gates"][0]["subject"]
    assert subject[:10] in tidemill("show", run)[1]
    stale = tidemill("approve", run, "register-deploy", "--by", "kim", "--subject", "0" * 12)
    assert stale[0] == 2
    assert f"asks about {subject[:12]}, not about 000000000000" in stale[2]
    decided = tidemill("approve", run, "register-deploy", "--by", "kim", "--subject", subject[:10])
    assert decided[1] == f"gate register-deploy of run {run} is approved by kim\n"
    assert ended(tidemill, run) == "succeeded"
    [gate] = json.loads(tidemill("show", run, "--json")[1])["gates"]
    assert [found["state"] for found in gate["history"]] == ["waiting", "passed"]


def test_a_run_that_fails_says_where_and_exits_with_1(tidemill: Tidemill) -> None:
    code, out, err = tidemill("run", "mill", "--param", "fail=mouldy", "-w")
    assert code == 1
    assert err.split()[:2] == ["ingest", "failed"]
    assert "Permanent: mouldy" in out
    assert "mill.py" in out
    run = out.split()[1]
    assert f"logs: tidemill logs {run} ingest" in out
    assert "read 3 rows\n  of grain" in tidemill("logs", run)[1]
    assert tidemill("logs", run, "train")[1:] == ("", f"run {run} has logged nothing in train\n")


def test_a_run_is_stopped_where_it_is(tidemill: Tidemill) -> None:
    run = start(tidemill, "slow")
    assert tidemill("cancel", run)[0] == 0
    assert ended(tidemill, run) == "cancelled"
    assert tidemill("cancel", run)[0] == 0
    mill.opened.set()
    code, out, _ = tidemill("run", "slow", "-w")
    assert (code, out.split()[2]) == (0, "succeeded")


def test_a_long_log_is_shown_whole_and_in_order(tidemill: Tidemill, client: Client) -> None:
    mill.opened.set()
    run = start(tidemill, "slow")
    followed = tidemill("logs", run, "-f")[1].splitlines()
    shown = tidemill("logs", run)[1].splitlines()
    lines = json.loads(tidemill("logs", run, "--json")[1])["lines"]
    assert [line["message"] for line in lines] == [f"line {number}" for number in range(mill.LINES)]
    assert shown == followed
    assert shown[-1].endswith(f"hold: line {mill.LINES - 1}")


def test_the_same_id_is_the_same_run(tidemill: Tidemill) -> None:
    first = start(tidemill, "mill", "--id", "once", "--data", "[1]")
    assert start(tidemill, "mill", "--id", "once", "--data", "[1]") == first
    code, out, err = tidemill("run", "mill", "--id", "once", "--data", "[2]")
    assert (code, out) == (2, "")
    assert "use another key" in err


def test_an_event_tells_its_fate_in_one_sentence(tidemill: Tidemill) -> None:
    run = start(tidemill, "mill", "--id", "asked-for", "--params", '{"rows": 1}')
    told = tidemill("event", "asked-for")[1]
    assert told.splitlines()[0].startswith(f"It started run {run} of mill")
    assert '"rows": 1' in told
    assert "asked-for" in tidemill("events", "--limit", "1")[1]
    assert "older ones: --before" in tidemill("events", "--limit", "1")[2]


@pytest.mark.parametrize(
    ("arguments", "ask"),
    [
        (("runs", "--state", "failed"), lambda client: client.runs(state="failed", limit=20)),
        (("events", "--limit", "2"), lambda client: client.events(limit=2)),
        (("pipelines",), lambda client: client.pipelines()),
        (("models",), lambda client: client.models()),
    ],
)
def test_json_is_what_the_api_answers(
    arguments: tuple[str, ...], ask: Callable[[Client], object], tidemill: Tidemill, client: Client
) -> None:
    tidemill("run", "mill", "--id", "for-json", "--param", "fail=on purpose", "--wait")
    code, out, err = tidemill(*arguments, "--json")
    assert (code, json.loads(out), err) == (0, ask(client), "")


def test_pipelines_and_triggers_are_listed(tidemill: Tidemill) -> None:
    assert "ingest, train, register, deploy" in tidemill("pipelines")[1]
    told = json.loads(tidemill("triggers", "--json")[1])["triggers"]
    assert {(one["pipeline"], one["kind"]) for one in told} == {("mill", "every"), ("mill", "files")}
    lines = [line.split() for line in tidemill("triggers")[1].splitlines()]
    assert sorted(line[0] for line in lines[1:]) == ["mill/every:1h", "mill/files:landing/*.csv"]


def test_what_is_paused_is_shown_until_it_is_unpaused(tidemill: Tidemill) -> None:
    code, out, _ = tidemill("pause", "mill/every:1h", "--reason", "not now")
    assert (code, out.splitlines()) == (
        0,
        ["mill/every:1h is paused by kim: not now", "go on with: tidemill unpause mill/every:1h"],
    )
    [line] = [line.split() for line in tidemill("triggers")[1].splitlines() if line.startswith("mill/every")]
    assert "paused" in line
    assert json.loads(tidemill("pause", "mill", "--json")[1])["trigger"] is None
    for what in ("mill", "mill/every:1h"):
        assert tidemill("unpause", what)[1].splitlines()[0] == f"{what} is not paused any more"
    code, _, err = tidemill("unpause", "mill")
    assert (code, err) == (2, "tidemill: mill is not paused: nothing is\n")
    assert tidemill("events", "--fate", "paused")[0] == 0
    assert "expected one of ran, coalesced" in tidemill("events", "--fate", "gone")[2]


def test_the_events_of_a_run_are_listed(tidemill: Tidemill) -> None:
    run = start(tidemill, "mill", "--id", "listed", "--data", '{"grain": "rye"}')
    told = tidemill("show", run, "--events")[1].splitlines()
    assert told[1].split()[0] == "0"
    assert "listed" in told[1]
    assert "rye" in told[1]
    found = json.loads(tidemill("show", run, "--events", "--json")[1])
    assert [one["cloudevent"]["data"]["data"] for one in found["events"]] == [{"grain": "rye"}]


def test_doctor_finds_nothing_wrong_here(
    tidemill: Tidemill, served: tuple[str, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, dsn, root = served
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", dsn)
    monkeypatch.setenv("TIDEMILL_PIPELINES", "tests.db.mill:mill")
    monkeypatch.setenv("TIDEMILL_ROOT", str(root))
    code, out, _ = tidemill("doctor")
    assert {line.split()[1] for line in out.splitlines()} == {
        *("settings", "pipelines", "triggers", "database", "clock", "broker", "transport", "artifacts", "daemon")
    }
    assert (code, {line.split()[0] for line in out.splitlines()}) == (0, {"ok"})
    assert "durable, up to date" in out


def test_doctor_reads_the_books_when_asked(tidemill: Tidemill, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", database)
    code, out, _ = tidemill("doctor", "--deep")
    read = [line.split(maxsplit=2) for line in out.splitlines() if " ledger " in line]
    assert (code, {verdict for verdict, _, _ in read}) == (0, {"ok"})
    assert "each event has one fate in each pipeline" in {says for _, _, says in read}
    monkeypatch.delenv("TIDEMILL_DATABASE_URL")
    code, out, _ = tidemill("doctor", "--deep")
    assert (code, "set TIDEMILL_DATABASE_URL to the one whose books to read" in out) == (1, True)


def test_doctor_looks_at_an_embedded_database_through_the_daemon(tidemill: Tidemill) -> None:
    code, out, _ = tidemill("doctor", "--json")
    found = {(one["about"], one["verdict"]) for one in json.loads(out)["findings"]}
    assert code == 0
    assert {("database", "ok"), ("clock", "ok"), ("daemon", "ok"), ("pipelines", "warning")} <= found
    told = {(one["about"], one["says"]) for one in json.loads(out)["findings"]}
    own = "(by the settings of this terminal; the running daemon may have others)"
    assert {about for about, says in told if says.endswith(own)} >= {"pipelines", "triggers", "broker"}
    assert any(about == "daemon" and says.startswith("it runs ") and "mill" in says for about, says in told)


def test_doctor_says_what_is_wrong_and_exits_with_1(tidemill: Tidemill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_PIPELINES", "tests.db.mill:mil")
    code, out, _ = tidemill("doctor")
    assert code == 1
    assert "problem  pipelines" in out
    monkeypatch.setenv("TIDEMILL_HTTP_PRT", "1")
    code, out, _ = tidemill("doctor")
    assert (code, out.count("\n")) == (1, 1)
    assert "did you mean TIDEMILL_HTTP_PORT?" in out


def test_doctor_finds_a_database_without_our_tables(
    tidemill: Tidemill, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_DATABASE_URL", empty_database)
    monkeypatch.setenv("TIDEMILL_DATABASE_MIGRATE", "false")
    code, out, _ = tidemill("doctor")
    assert code == 1
    assert "lacks 0001_spine, " in out
    assert "run `tidemill migrate`" in out


def test_one_stage_registers_with_the_models_of_the_daemon_once(
    tidemill: Tidemill, client: Client, served: tuple[str, str, Path]
) -> None:
    before = client.model("mill")["versions"] if client.models()["models"] else []
    event = {"source": "me", "id": "by-hand", "type": "t", "time": "2026-01-01T00:00:00Z"}
    Path("event.json").write_text(json.dumps(event))
    model = {"digest": digest_of(b"6"), "codec": "json", "size_bytes": 1, "inline": "Ng=="}
    Path("train.json").write_text(json.dumps({"output": model}))
    command = ("stage", "run", "tests.db.mill:mill", "register", "--event", "event.json", "--input", "train=train.json")
    first, again = tidemill(*command), tidemill(*command)
    assert (first[0], again[0]) == (0, 0)
    assert first[1] == again[1]
    made = client.model("mill")["versions"]
    assert len(made) == len(before) + 1
    assert (made[0]["state"], made[0]["run_id"], made[0]["artifacts"]) == ("staging", None, {"model": model["digest"]})


def test_why_a_stage_ran_again_and_what_differs_is_told(tidemill: Tidemill) -> None:
    first, second = start(tidemill, "mill", "--param", "rows=6"), start(tidemill, "mill", "--param", "rows=7")
    for run in (first, second):
        tidemill("run", "mill", "--id", f"waits-for-{run}", "--wait")
    told = tidemill("explain", second, "train", "--with", first)[1]
    assert "computed, since its input ingest is another" in told
    assert "in ingest parameter rows changed from 6 to 7" in told
    assert "in ingest" not in tidemill("explain", first, "ingest")[1]
    code, out, _ = tidemill("diff", first, second)
    assert code == 0
    assert [line.split() for line in out.splitlines() if line.startswith("params rows")] == [
        ["params", "rows", "6", "7"]
    ]
    assert json.loads(tidemill("diff", first, second, "--json")[1])["b"]["run"] == int(second)


def test_a_report_is_printed_or_written_as_a_page(tidemill: Tidemill, tmp_path: Path) -> None:
    run = start(tidemill, "mill", "--tag", "nightly", "--tag", "big")
    assert json.loads(tidemill("report", run)[1])["event"]["cloudevent"]["data"]["tags"] == ["nightly", "big"]
    assert tidemill("report", run, "--html", "run.html")[1] == f"run {run} is told in run.html\n"
    assert (tmp_path / "run.html").read_text().startswith("<!doctype html>")
    assert f"Run {run} of mill" in tidemill("report", run, "--html", "-")[1]
    code, _, err = tidemill("report", run, "--html", "no/such/folder.html")
    assert (code, "cannot be written" in err) == (2, True)
    assert tidemill("report", "999999")[0] == 2


def test_failed_runs_wait_in_the_review_queue_and_runs_tells_so(tidemill: Tidemill) -> None:
    run = tidemill("run", "mill", "--param", "fail=weevils", "-w")[1].split()[1]
    told = tidemill("reviews", "--limit", "1")[1]
    assert told.startswith(f"run {run} of mill failed in stage ingest")
    assert "Permanent: weevils" in told
    assert f"tidemill resume {run} --with-param NAME=VALUE" in told
    assert f"tidemill abandon {run} --reason WHY" in told
    assert "skip" not in told
    assert "for a person: tidemill reviews" in tidemill("runs", "--limit", "1")[2]
    assert json.loads(tidemill("reviews", "--json")[1])["reviews"][0]["run"] == int(run)


def test_runs_are_found_by_tag(tidemill: Tidemill, served: tuple[str, str, Path], session_loop: BackgroundLoop) -> None:
    run = start(tidemill, "mill")
    session_loop.run(rows(served[1], "update runs set tags = '[\"odd\"]' where id = $1", int(run)))
    assert [one["id"] for one in json.loads(tidemill("runs", "--tag", "odd", "--json")[1])["runs"]] == [int(run)]
    assert "odd" in tidemill("show", run)[1]


def test_cleaning_up_asks_for_yes(tidemill: Tidemill) -> None:
    code, out, _ = tidemill("gc")
    assert (code, out.splitlines()[-1]) == (0, "nothing was changed: --yes removes it")
    assert "runs are kept for ever" in out
    assert json.loads(tidemill("gc", "--days", "1", "--json")[1])["dry_run"] is True
    done = json.loads(tidemill("gc", "--days", "1000", "--yes", "--json")[1])
    assert (done["dry_run"], done["pipelines"]) == (False, [])


async def test_an_alias_elsewhere_moves_by_compare_and_set(client: Client) -> None:
    registry = RemoteRegistry(client)
    new = NewVersion(model="far", artifacts={"model": "a" * 64}, metrics={"r2": 0.5}, pipeline="mill")
    one = await registry.register(new, idempotency_key="far, one")
    two = await registry.register(new, idempotency_key="far, two")
    assert await registry.register(new, idempotency_key="far, one") == one
    assert await registry.alias("far", "production") is None
    assert (await registry.move_alias("far", "production", two.version, expect=None)).state == "production"
    with pytest.raises(AliasMoved, match="no longer points at version 1"):
        await registry.move_alias("far", "production", one.version, expect=one.version)
    found = await registry.alias("far", "production")
    assert found is not None
    assert (found.version, found.metrics) == (2, {"r2": 0.5})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "999999"), "there is no run 999999"),
        (("show", "twelve"), "runs have whole numbers"),
        (("run", "mil"), "no pipeline is called 'mil'"),
        (("run", "mill", "--param", "rows=many"), "rows:"),
        (("runs", "--state", "sleeping"), "expected one of queued"),
        (("event", "nobody-sent-this"), "nobody-sent-this"),
        (("approve", "999999", "a-b", "--by", "kim"), "there is no run"),
        (("predict", "nothing", "{}"), "no model is called 'nothing'"),
        (("logs", "999999", "-f"), "there is no run"),
    ],
)
def test_what_is_refused_is_one_sentence_and_code_2(arguments: tuple[str, ...], told: str, tidemill: Tidemill) -> None:
    code, out, err = tidemill(*arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert err.startswith("tidemill: ")
    assert err.count("\n") == 1


def test_a_daemon_that_does_not_answer_is_code_2(tidemill: Tidemill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_URL", "http://127.0.0.1:1")
    code, _, err = tidemill("runs")
    assert code == 2
    assert "start one with `tidemill up`" in err


def test_a_token_is_made_listed_and_revoked(tidemill: Tidemill) -> None:
    code, token, told = tidemill("tokens", "create", "ci", "--role", "operator", "--expires", "8h")
    assert (code, token[:3]) == (0, "tm_")
    assert "ci is operator until" in told
    made = json.loads(tidemill("tokens", "create", "kim", "--role", "approver", "--pipeline", "s*", "--json")[1])
    assert (made["roles"], made["pipelines"]) == (["approver"], ["s*"])
    listed = tidemill("tokens", "list")[1]
    assert "approver (s*)" in listed
    assert "never" in listed
    assert token.strip() not in listed
    assert tidemill("tokens", "revoke", "ci")[:2] == (0, "the token of ci stands no more\n")
    code, _, told = tidemill("tokens", "revoke", "ci")
    assert (code, "tidemill tokens list" in told) == (2, True)
    revoked = json.loads(tidemill("tokens", "list", "--all", "--json")[1])["tokens"]
    assert {one["name"]: (one["state"], one["created_by"]) for one in revoked} == {
        "ci": ("revoked", "kim"),
        "kim": ("valid", "kim"),
    }
    code, _, told = tidemill("tokens", "create", "x", "--role", "king")
    assert (code, "roles" in told) == (2, True)


def test_the_audit_log_tells_who_did_what(tidemill: Tidemill) -> None:
    assert tidemill("pause", "slow", "--reason", "for the log")[0] == 0
    assert tidemill("unpause", "slow")[0] == 0
    told = tidemill("audit", "--who", "kim", "--limit", "2")[1]
    assert "POST /api/v1/pauses/lift" in told
    assert "kim" in told
    page = json.loads(tidemill("audit", "--limit", "2", "--json")[1])
    assert [one["action"] for one in page["entries"]] == ["POST /api/v1/pauses/lift", "POST /api/v1/pauses"]
    assert page["entries"][1]["detail"] == {"what": "slow", "reason": "for the log"}
    assert f"older ones: --before {page['next']}" in "".join(tidemill("audit", "--limit", "2")[1:])
    assert tidemill("audit", "--refused", "--from", "2126-01-01")[1] == "nothing of that kind was done\n"
