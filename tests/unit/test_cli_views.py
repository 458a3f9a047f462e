from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from rich.console import Console

from service.checkup.finding import problem
from service.cli import output
from service.cli.follow import running
from service.cli.views.checkup import print_finding
from service.cli.views.events import print_event, print_events
from service.cli.views.loaded import print_models, print_pipelines, print_triggers, print_versions
from service.cli.views.run import ending, print_run
from service.cli.views.runs import print_runs
from service.words.parts import metrics, number, size

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
AT = "2026-03-05T11:57:00+00:00"
Show = Callable[..., str]


@pytest.fixture(autouse=True)
def _colours_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Show:
    """What a view prints, to a terminal of so many columns or (0) to a pipe."""

    def made(columns: int, view: Callable[..., Any], *arguments: Any) -> str:
        if columns:
            terminal = Console(
                file=sys.stdout, force_terminal=True, width=columns, markup=False, highlight=False, emoji=False
            )
            monkeypatch.setattr(output, "console", lambda stderr=False: terminal)
            monkeypatch.setattr(sys.modules[view.__module__], "console", lambda: terminal, raising=False)
        view(*arguments)
        return capsys.readouterr().out

    return made


def attempt(number: int, state: str, **more: Any) -> dict[str, Any]:
    made = {"attempt": number, "epoch": 1, "state": state, "started_at": AT, "finished_at": AT, "duration_s": 0.5}
    nothing = {"transient": None, "retry_at": None, "error": None, "output": None, "metrics": {}, "reused_run": None}
    plain = {"item": None, "version": "3b4c318ab35f", "reason": None, "void": None, "child_run": None, "progress": None}
    return made | nothing | plain | {"cost": None} | more


def stage(name: str, *attempts: dict[str, Any]) -> dict[str, Any]:
    state = attempts[-1]["state"] if attempts else "pending"
    return {"name": name, "state": state, "items": {}, "attempts": list(attempts), "cost": None}


EVENT = {
    "key": "k",
    "source": "tidemill:hooks/ci",
    "id": "delivery-1",
    "type": "dev.tidemill.webhook",
    "subject": "me/repo",
    "occurred_at": AT,
    "accepted_at": AT,
    "cloudevent": {"data": {"ref": "main"}, "traceparent": f"00-{'4b' * 16}-00f067aa0ba902b7-01"},
}
OUTPUT = {"digest": "8f2c01d4aabbccdd" * 4, "codec": "parquet", "size_bytes": 1_400_000}
TRACEBACK = (
    'Traceback (most recent call last):\n  File "f.py", line 3, in train\n    fit()\n    ^^^^^\nValueError: bad\n'
)
ERROR = {"type": "builtins.ValueError", "message": "bad", "traceback": TRACEBACK}
RUN = {
    "events": 1,
    "id": 12,
    "pipeline": "flights",
    "version": "3b4c318ab35f",
    "trigger": "webhook:ci",
    "tags": ["nightly"],
    "state": "failed",
    "queued_at": AT,
    "started_at": AT,
    "finished_at": AT,
    "ready_at": None,
    "duration_s": 12.4,
    "failure": {"stage": "train", "reason": "a permanent failure"},
    "waiting_gates": [],
    "caused_by": None,
    "replay": None,
    "effects": [],
    "caused": [],
    "due_at": None,
    "late_at": None,
    "abandoned": None,
    "actions": [],
    "epoch": 1,
    "adoptions": 0,
    "owner": None,
    "params": {"months": 6},
    "event": EVENT,
    "stages": [
        stage(
            "ingest",
            attempt(1, "lost"),
            attempt(2, "succeeded", output=OUTPUT, metrics={"rows": 27_004, "r2": 0.83125}),
        ),
        stage("train", attempt(1, "failed", error=ERROR, transient=False)),
        stage("deploy"),
    ],
    "gates": [
        {
            "name": "ingest-train",
            "source": "ingest",
            "target": "train",
            "check": "metrics_above",
            "state": "passed",
            "reason": "",
            "evidence": {"r2": 0.83125, "limits": {"r2": 0.5}},
            "subject": "8f",
            "decided_by": None,
            "decided_at": AT,
            "expires_at": None,
            "votes": [],
            "history": [],
        }
    ],
    "cancel_requested_at": None,
    "cancelled_by": None,
    "waits_for": None,
    "next_command": "tidemill resume 12",
}


def test_a_run_tells_its_whole_story_to_a_pipe_uncut(show: Show) -> None:
    told = show(0, print_run, RUN, NOW)
    assert "\x1b" not in told
    lines = [line.split() for line in told.splitlines()]
    assert ["run", "12", "of", "flights", "failed"] in lines
    assert ["event", "delivery-1", "(me/repo)"] in lines
    assert ["trace", "4b" * 16] in lines
    assert ["ingest", "lost", "1", "500", "ms"] in lines
    assert any(
        " ".join(line) == "succeeded 2 500 ms 8f2c01d4aa parquet 1.4 MB rows 27,004 r2 0.83125" for line in lines
    )
    assert ["deploy", "pending"] in lines
    assert 'r2 0.83125  limits {"r2": 0.5}' in told
    assert not any(line != line.rstrip() for line in told.splitlines())


def test_a_failed_run_says_where_why_and_the_command_that_goes_on(show: Show) -> None:
    told = show(0, print_run, RUN, NOW)
    end = told[told.index("failed in train") :]
    assert end.splitlines() == [
        "failed in train: a permanent failure",
        "  ValueError: bad",
        '    File "f.py", line 3, in train',
        "      fit()",
        "",
        "next: tidemill resume 12",
        "logs: tidemill logs 12 train",
    ]


def test_an_attempt_under_way_says_how_far_it_is_and_one_that_has_ended_what_came_of_it(show: Show) -> None:
    half = {"fraction": 0.42, "note": "epoch 3", "at": AT}
    done, at_work = attempt(1, "succeeded", progress=half), attempt(1, "running", progress=half)
    stages = [stage("ingest", done), stage("train", at_work)]
    shown = show(0, print_run, RUN | {"state": "running", "failure": None, "stages": stages}, NOW)
    assert shown.count("[####......]  42% epoch 3") == 1
    assert running({"stages": stages, "waits_for": None, "state": "running"}) == "train 42% epoch 3"


def test_what_stages_cost_is_told_where_it_was_measured(show: Show) -> None:
    cost = {"cpu_s": 1.25, "memory_bytes": 81_000_000}
    measured = stage("train", attempt(1, "succeeded", cost=cost)) | {"cost": cost}
    told = show(0, print_run, RUN | {"stages": [measured, stage("deploy")]}, NOW)
    assert "COST" in told
    assert "1.25 s CPU, 81 MB" in told
    assert "COST" not in show(0, print_run, RUN, NOW)


def test_the_end_of_a_run_that_waits_names_the_gate_and_the_command() -> None:
    waiting = RUN | {
        "state": "waiting",
        "failure": None,
        "finished_at": None,
        "waits_for": "somebody to decide gate a-b",
        "next_command": "tidemill approve 12 a-b --by NAME",
    }
    assert [line.plain.strip() for line in ending(waiting)] == [
        "run 12 waiting: it waits for somebody to decide gate a-b",
        "next: tidemill approve 12 a-b --by NAME",
    ]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(show: Show, columns: int) -> None:
    told = show(columns, print_run, RUN, NOW) + show(columns, print_runs, {"runs": [RUN]}, NOW)
    from rich.text import Text

    lines = [Text.from_ansi(line).plain.rstrip() for line in told.splitlines()]
    assert max(len(line) for line in lines) <= columns
    assert any("flights" in line for line in lines)


def test_states_have_colours_on_a_terminal_and_none_with_no_color(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[31mfailed" in show(100, print_runs, {"runs": [RUN]}, NOW)
    monkeypatch.setenv("NO_COLOR", "1")
    told = show(100, print_runs, {"runs": [RUN]}, NOW)
    assert "failed" in told
    assert "\x1b[3" not in told


@pytest.mark.parametrize(
    "hostile", ["\x1b]0;owned\x07", "a\x1b[2J", "[red]markup[/red]", "line\nbreak", "\u202egnp.exe"]
)
def test_what_others_wrote_cannot_steer_the_terminal(show: Show, hostile: str) -> None:
    event = EVENT | {
        "id": hostile,
        "subject": hostile,
        "fate": "ignored",
        "outcomes": [],
        "told": hostile,
        "others": [],
        "replays": [],
    }
    told = show(0, print_events, {"events": [event]}, NOW) + show(0, print_event, event, NOW)
    told += show(0, print_run, RUN | {"event": event, "params": {"x": hostile}}, NOW)
    assert all(char.isprintable() or char == "\n" for char in told)
    assert "line\nbreak" not in told
    if hostile.startswith("["):
        assert hostile in told


def test_an_event_tells_its_fate_first_and_cuts_a_long_payload(show: Show) -> None:
    outcome = {"pipeline": "flights", "trigger": "webhook:ci", "fate": "ran", "reason": "", "run": 12}
    event = EVENT | {"told": "It started run 12 of flights by webhook:ci", "fate": "ran", "outcomes": [outcome]}
    event |= {"others": [], "replays": [], "cloudevent": {"data": "x" * 3000}}
    told = show(0, print_event, event, NOW)
    assert told.startswith("It started run 12 of flights")
    assert ["flights", "ran", "12", "webhook:ci"] in [line.split() for line in told.splitlines()]
    assert told.rstrip().endswith("(--json shows all of it)")


def test_events_of_one_fate_are_listed_with_the_reason(show: Show) -> None:
    dead = {"pipeline": "a", "trigger": "kafka:t", "fate": "dead", "reason": "not JSON", "run": None}
    ran = {"pipeline": "b", "trigger": "kafka:t", "fate": "ran", "reason": "", "run": 12}
    event = EVENT | {"fate": "ran", "outcomes": [dead, ran]}
    told = show(0, print_events, {"events": [event]}, NOW, "dead")
    assert "REASON" in told
    assert told.count("not JSON") == 1
    assert "not JSON" not in show(0, print_events, {"events": [event]}, NOW)
    assert "none is dead" in show(0, print_events, {"events": []}, NOW, "dead")


def test_a_trigger_says_when_it_is_due_what_it_saw_and_its_lag(show: Show) -> None:
    trigger = {"name": "a/cron", "pipeline": "a", "trigger": "cron", "kind": "cron", "enabled": True, "address": None}
    trigger |= {"state": "listening", "note": "", "next_due_at": "2026-03-05T12:05:00+00:00", "last_seen_at": AT}
    trigger |= {"lag_records": 1234, "lag_s": 35.0, "reported_at": AT}
    told = show(0, print_triggers, {"triggers": [trigger], "sinks": []}, NOW)
    assert "(in 5 min)" in told
    assert "3 min ago" in told
    assert "1,234 (35 s)" in told


def test_models_and_versions_are_listed(show: Show) -> None:
    summary = {"model": "flights", "versions": 2, "latest": 2, "aliases": {"production": 1}}
    assert "production -> 1" in show(0, print_models, {"models": [summary]})
    version = {"version": 2, "state": "staging", "aliases": [], "created_at": AT, "run_id": 12, "metrics": {"r2": 0.5}}
    assert "r2 0.5" in show(0, print_versions, {"model": "flights", "versions": [version]}, NOW)


def test_what_a_run_under_way_has_taken_is_no_whole(show: Show) -> None:
    under_way = RUN | {"state": "running", "finished_at": None, "duration_s": 12.0, "failure": None}
    assert "12 s so far" in show(0, print_runs, {"runs": [under_way]}, NOW)
    assert "so far" not in show(0, print_runs, {"runs": [RUN]}, NOW)


def test_lists_that_are_empty_say_what_to_do(show: Show) -> None:
    assert "tidemill run PIPELINE" in show(0, print_runs, {"runs": []}, NOW)
    assert "TIDEMILL_PIPELINES" in show(0, print_pipelines, {"pipelines": []})
    assert "no events yet" in show(0, print_events, {"events": []}, NOW)
    assert "no events like that" in show(0, partial(print_events, chosen=True), {"events": []}, NOW)


def test_a_finding_is_one_line_with_what_to_do(show: Show) -> None:
    told = show(0, print_finding, problem("broker", "none is set", "set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS"))
    assert told == "problem  broker     none is set: set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS\n"


@pytest.mark.parametrize(
    ("value", "told"),
    [(27_004, "27,004"), (0.831249, "0.83125"), (1e-9, "1e-09"), (float("nan"), "nan"), (1e300, "1e+300")],
)
def test_numbers_have_the_digits_that_say_something(value: float, told: str) -> None:
    assert number(value) == told
    assert metrics({"x": value}) == f"x {told}"


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 B"), (999, "999 B"), (1400, "1.4 kB"), (999_700, "1 MB"), (5e12, "5 TB")]
)
def test_sizes_are_in_decimal_units(count: int, told: str) -> None:
    assert size(count) == told


def test_a_mapped_stage_counts_its_items_and_shows_those_in_trouble(show: Show) -> None:
    tried = attempt(2, "failed", item=7, error=ERROR)
    score = stage("score", tried) | {"items": {"failed": 1, "succeeded": 98}}
    told = show(0, print_run, RUN | {"stages": [score]}, NOW)
    assert "items: 1 failed, 98 succeeded" in told
    assert "  item 7" in told


def test_a_run_tells_what_caused_it_what_it_caused_that_it_is_late_and_was_given_up(show: Show) -> None:
    more = {
        "caused_by": {"run": 3, "stage": "publish"},
        "caused": [{"run": 15, "pipeline": "notify", "stage": "train", "state": "succeeded"}],
        "due_at": AT,
        "late_at": AT,
        "abandoned": {"by": "kim", "at": AT, "reason": "a test"},
        "actions": [
            {"at": AT, "action": "amended", "by": "lee", "detail": {"params": {"k": {"from": 1, "to": 2}}}},
            {"at": AT, "action": "abandoned", "by": "kim", "detail": {"reason": "a test"}},
        ],
    }
    skipped = stage("report", attempt(1, "skipped", reason="skipped by kim: no mail"))
    waiting = stage("fit", attempt(1, "waiting", child_run=14))
    stale = stage("train", attempt(1, "succeeded", void="forced"))
    told = show(0, print_run, RUN | more | {"stages": [skipped, waiting, stale]}, NOW)
    for expected in (
        "run 3, publish",
        "run 15 of notify (succeeded)",
        "and it was late",
        "lee resumed it; k 1 → 2 11:57:00 (3 min ago)",
        "kim gave it up 11:57:00 (3 min ago): a test",
        "skipped by kim: no mail",
        "sub-run 14",
        "(to be made anew)",
    ):
        assert expected in told
