from __future__ import annotations

import json
import logging
import os
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.cli import main as entry
from stages.artifacts import digest_of
from stages.call import Call
from stages.gathered import unpack
from triggers.event import Event, utc_now

SPEC = "tests.unit.trial:trial"
EVENT = {"source": "me", "id": "1", "type": "t", "time": "2026-01-01T00:00:00Z"}
Ran = tuple[int, str, str]
Tidemill = Callable[..., Ran]


@pytest.fixture(autouse=True)
def _a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("event.json").write_text(json.dumps(EVENT))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def tidemill(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Tidemill:
    """Run a command line: exit code, standard output, standard error."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["tidemill", *arguments])
        with pytest.raises(SystemExit) as caught:
            entry.main()
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), out, err

    return run


def call(stage: str, **more: Any) -> str:
    """Write a call as a runner would."""
    event = Event(source="me", id="1", type="t", time=utc_now())
    made = Call(pipeline="trial", stage=stage, run_id=7, attempt=2, idempotency_key="k", event=event, **more)
    Path("call.json").write_bytes(made.to_json())
    return "call.json"


def test_a_call_in_and_a_result_out(tidemill: Tidemill) -> None:
    code, out, err = tidemill("stage", "run", SPEC, "ingest", "--call", call("ingest", params={"rows": 2}))
    assert code == 0
    result = json.loads(out)
    assert (result["state"], result["metrics"], result["output"]["codec"]) == ("succeeded", {"rows": 2.0}, "json")
    assert {"printed by the stage", "written by a library", "ingest: 50% half"} <= set(err.splitlines())
    assert "reading for 1 by ***" in err


def test_the_result_may_go_to_a_file_and_feed_the_next_stage(tidemill: Tidemill) -> None:
    first = ("stage", "run", SPEC, "ingest", "--event", "event.json", "--param", "rows=5", "--result", "one.json")
    assert tidemill(*first)[:2] == (0, "")
    code, out, _ = tidemill("stage", "run", SPEC, "features", "--event", "event.json", "--input", "ingest=one.json")
    assert code == 0
    assert json.loads(out)["output"]["inline"] == "MTA="
    assert sorted(path.name for path in Path().iterdir()) == [".tidemill", "event.json", "one.json"]


def test_a_mapped_stage_is_made_whole_and_a_condition_is_asked(tidemill: Tidemill) -> None:
    tidemill("stage", "run", SPEC, "ingest", "--event", "event.json", "--param", "rows=4", "--result", "one.json")
    code, out, _ = tidemill("stage", "run", SPEC, "square", "--event", "event.json", "--input", "ingest=one.json")
    result = json.loads(out)
    assert (code, result["output"]["codec"], result["metrics"]) == (0, "gathered", {"place": 5 / 3})
    items = unpack(b64decode(result["output"]["inline"]))
    assert [None if one is None else one.inline for one in items] == [b"0", None, b"4", b"9"]
    code, out, _ = tidemill("stage", "run", SPEC, "rarely", "--event", "event.json", "--input", "ingest=one.json")
    assert (code, json.loads(out)) == (0, {"state": "skipped", "reason": "its `when` said no"})


@pytest.mark.parametrize(("fail", "code", "transient"), [("permanent", 1, False), ("transient", 75, True)])
def test_the_exit_code_says_whether_to_try_again(fail: str, code: int, transient: bool, tidemill: Tidemill) -> None:
    found, out, _ = tidemill("stage", "run", SPEC, "ingest", "--call", call("ingest", params={"fail": fail}))
    error = json.loads(out)["error"]
    assert (found, error["transient"]) == (code, transient)
    assert "trial.py" in error["traceback"]
    assert fail == "transient" or error["message"] == "never tell ***"


def test_a_stage_that_takes_too_long_may_be_tried_again(tidemill: Tidemill) -> None:
    tidemill("stage", "run", SPEC, "ingest", "--event", "event.json", "--result", "one.json")
    late = ("--input", "ingest=one.json", "--param", "fail=slow")
    code, out, _ = tidemill("stage", "run", SPEC, "features", "--event", "event.json", *late)
    assert (code, json.loads(out)["error"]["type"]) == (75, "TimeoutError")


def test_without_a_daemon_a_stage_that_wants_models_says_what_to_set(tidemill: Tidemill) -> None:
    output = {"digest": digest_of(b"1"), "codec": "json", "size_bytes": 1, "inline": "MQ=="}
    Path("sum.json").write_text(json.dumps({"output": output}))
    code, out, _ = tidemill("stage", "run", SPEC, "register", "--event", "event.json", "--input", "features=sum.json")
    assert code == 1
    assert "set TIDEMILL_URL to a running daemon" in json.loads(out)["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((SPEC, "ingest"), "--call"),
        ((SPEC, "ingset", "--event", "event.json"), "did you mean 'ingest'"),
        (("tests.unit.trial:tril", "ingest", "--event", "event.json"), "did you mean 'trial'"),
        (("trial", "ingest", "--event", "event.json"), "TIDEMILL_PIPELINES"),
        ((SPEC, "ingest", "--call", "none.json"), "none.json cannot be read"),
        ((SPEC, "ingest", "--call", "event.json"), "not a stage call"),
        ((SPEC, "features", "--event", "event.json", "--input", "ingest=event.json"), "not the result of a stage"),
        ((SPEC, "ingest", "--event", "event.json", "--result", "no/such/folder.json"), "cannot be written"),
    ],
)
def test_what_is_wrong_with_the_request_is_one_sentence_and_code_2(
    arguments: tuple[str, ...], told: str, tidemill: Tidemill
) -> None:
    code, out, err = tidemill("stage", "run", *arguments)
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_a_call_for_another_stage_is_refused(tidemill: Tidemill) -> None:
    code, _, err = tidemill("stage", "run", SPEC, "features", "--call", call("ingest"))
    assert (code, err) == (2, "tidemill: the call is for trial ingest, not for trial features\n")


def test_a_pipeline_may_be_named_where_it_is_configured(tidemill: Tidemill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_PIPELINES", SPEC)
    code, out, _ = tidemill("stage", "list", "trial", "--json")
    assert code == 0
    assert [one["name"] for one in json.loads(out)] == ["ingest", "features", "register", "square", "rarely"]
    assert ["features", "ingest", "process"] in [
        line.split()[:3] for line in tidemill("stage", "list", "trial")[1].splitlines()
    ]
