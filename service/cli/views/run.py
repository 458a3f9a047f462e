"""One run, whole: what caused it, what happened in it, what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from service.cli.output import Column, coloured, console, plain, print_facts, print_table
from service.words.deeds import deeds
from service.words.endings import failed_in
from service.words.events import event_name
from service.words.parts import DIGEST_SHOWN, artifact, bar, cost, metrics, moment, number, took
from service.words.times import instant, lasted
from triggers.trace import trace_of

SHORT_LINES = 6
EVIDENCE_SHOWN = 160
STAGES = (
    Column("STAGE"),
    Column("STATE"),
    Column("TRY", right=True),
    Column("TOOK", right=True),
    Column("COST", from_width=100),
    Column("OUTPUT", from_width=80),
    Column("METRICS", wrap=True),
)
GATES = (
    Column("GATE"),
    Column("ARROW", from_width=80),
    Column("STATE"),
    Column("ABOUT", from_width=80),
    Column("EVIDENCE", wrap=True),
    Column("DECIDED", from_width=100),
)


def print_run(run: Mapping[str, Any], now: datetime) -> None:
    """The whole story, most needed first."""
    out = console()
    out.print(Text.assemble((f"run {run['id']}", "bold"), f" of {run['pipeline']} ", coloured(run["state"])))
    print_facts(_facts(run, now))
    out.print()
    # A column of nothing, where no stage ran in a process of its own, says nothing.
    shown = [index for index, one in enumerate(STAGES) if one.title != "COST" or _measured(run)]
    rows = [[row[index] for index in shown] for row in _stages(run["stages"])]
    nothing = "no stages are known of this version of the pipeline"
    print_table([STAGES[index] for index in shown], rows, nothing=nothing)
    if run["gates"]:
        out.print()
        print_table(GATES, [_gate(gate, now) for gate in run["gates"]], nothing="")
    print_effects(run)
    for line in (*_failure(run), *_what_next(run)):
        out.print(line)


def print_effects(run: Mapping[str, Any]) -> None:
    """What a run in shadow would have done outside."""
    if run["effects"]:
        console().print()
        rows = [(one["stage"], one["told"]) for one in run["effects"]]
        print_table([Column("STAGE"), Column("IN SHADOW IT", wrap=True)], rows, nothing="")


def print_ending(run: Mapping[str, Any]) -> None:
    """How a run that was waited for ended."""
    out = console()
    for line in ending(run):
        out.print(line)


def ending(run: Mapping[str, Any]) -> Iterator[Text]:
    """How a run that was waited for ended, and what to do about it."""
    duration = took(run["duration_s"])
    told = f" after {duration}" if duration and run["finished_at"] else ""
    yield Text.assemble(f"run {run['id']} ", coloured(run["state"]), told, *_waiting(run))
    yield from _failure(run)
    yield from _what_next(run)


def _waiting(run: Mapping[str, Any]) -> Iterator[str]:
    if run["waits_for"]:
        yield f": it waits for {plain(run['waits_for'])}"


def _replay(replay: Mapping[str, Any] | None) -> str:
    if replay is None:
        return ""
    old = f"of run {replay['run']}, of event {replay['event']}" if replay["run"] else f"of event {replay['event']}"
    how = "in shadow: nothing outside is changed" if replay["shadow"] else "with its effects"
    return f"{old}, by {replay['by']}, {how}"


def _facts(run: Mapping[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    event = run["event"]
    yield "version", run["version"]
    yield "trigger", run["trigger"]
    yield "event", event_name(event, run["pipeline"])
    yield "", f"{event['type']} from {event['source']}"
    yield "", f"accepted {moment(event['accepted_at'], now)}"
    yield "replay", _replay(run["replay"])
    yield "", f"and {run['events'] - 1:,} more: tidemill show {run['id']} --events" if run["events"] > 1 else ""
    yield "trace", trace_of(event["cloudevent"]).get("traceparent", "")[3:35]
    yield "tags", ", ".join(run["tags"])
    yield "caused by", f"run {run['caused_by']['run']}, {run['caused_by']['stage']}" if run["caused_by"] else ""
    yield "caused", ", ".join(f"run {one['run']} of {one['pipeline']} ({one['state']})" for one in run["caused"][:5])
    yield "due", _due(run, now)
    for place, one in enumerate(deeds(run)):
        because = f": {one.reason}" if one.reason else ""
        yield "" if place else "people", f"{one.by} {one.told} {moment(one.at, now)}{because}"
    yield "params", json.dumps(run["params"], ensure_ascii=False) if run["params"] else ""
    yield "queued", moment(run["queued_at"], now)
    yield "started", _started(run)
    yield "finished", moment(run["finished_at"], now)
    yield "took" if run["finished_at"] else "so far", took(run["duration_s"])
    yield "adopted", f"{run['adoptions']} times in a row without finishing a stage" if run["adoptions"] > 1 else ""
    yield "cancel", f"asked by {run['cancelled_by']}" if run["cancelled_by"] else ""
    yield "waits for", run["waits_for"] or ""
    yield "goes on", moment(run["ready_at"], now)


def _due(run: Mapping[str, Any], now: datetime) -> str:
    if run["due_at"] is None:
        return ""
    return moment(run["due_at"], now) + (", and it was late" if run["late_at"] else "")


def _started(run: Mapping[str, Any]) -> str:
    if run["started_at"] is None:
        return ""
    waited_s = (instant(run["started_at"]) - instant(run["queued_at"])).total_seconds()
    return f"{lasted(max(waited_s, 0))} after it was queued"


def _stages(stages: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Any]]:
    """A row for each attempt; a stage not reached has one too."""
    for stage in stages:
        if stage["items"]:
            counts = ", ".join(f"{count} {state}" for state, count in stage["items"].items())
            yield stage["name"], coloured(stage["state"]), "", "", cost(stage["cost"]), "", f"items: {counts}"
        elif not stage["attempts"]:
            yield stage["name"], coloured(stage["state"]), "", "", "", "", ""
        for index, tried in enumerate(stage["attempts"]):
            name = stage["name"] if index == 0 and not stage["items"] else ""
            name = name if tried["item"] is None else f"  item {tried['item']}"
            told = _error(tried) or _so_far(tried) or _why(tried) or metrics(tried["metrics"])
            output, lasted_for = artifact(tried["output"]), took(tried["duration_s"])
            yield name, attempt_state(tried), tried["attempt"], lasted_for, cost(tried["cost"]), output, told


def _measured(run: Mapping[str, Any]) -> bool:
    return any(stage["cost"] for stage in run["stages"])


def _why(tried: Mapping[str, Any]) -> str:
    """Why it was skipped or cut short, what it waits for, or that it counts no longer."""
    if tried["state"] == "waiting":
        return f"sub-run {tried['child_run']}"
    void = {"stale": "set aside", "forced": "to be made anew"}.get(tried["void"] or "", "")
    return " ".join(part for part in (tried["reason"], f"({void})" if void else "") if part)


def _so_far(tried: Mapping[str, Any]) -> str:
    """How far an attempt under way says it is."""
    progress = tried["progress"] if tried["state"] == "running" else None
    return f"{bar(progress['fraction'])} {progress['note']}".rstrip() if progress else ""


def attempt_state(tried: Mapping[str, Any]) -> Text:
    """Its state, and whose result it re-used."""
    shown = coloured(tried["state"])
    return shown.append(f" from run {tried['reused_run']}") if tried["reused_run"] else shown


def _error(tried: Mapping[str, Any]) -> str:
    error = tried["error"]
    if error is None:
        return ""
    again = " (transient)" if tried["transient"] else ""
    return f"{_short_type(error['type'])}: {error['message']}{again}"


def _gate(gate: Mapping[str, Any], now: datetime) -> Sequence[Any]:
    decided = " ".join(part for part in (gate["decided_by"], moment(gate["decided_at"], now)) if part)
    arrow = f"{gate['source']} -> {gate['target']}"
    about = (gate["subject"] or "")[:DIGEST_SHOWN]
    return gate["name"], arrow, coloured(gate["state"]), about, _evidence(gate), decided or _over(gate, now)


def _over(gate: Mapping[str, Any], now: datetime) -> str:
    return f"fails {moment(gate['expires_at'], now)}" if gate["expires_at"] else ""


def _evidence(gate: Mapping[str, Any]) -> str:
    """The reason, or else what was measured."""
    if gate["reason"]:
        return str(gate["reason"])
    parts = (f"{name} {_short(value)}" for name, value in gate["evidence"].items())
    return "  ".join(parts)[:EVIDENCE_SHOWN]


def _short(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _failure(run: Mapping[str, Any]) -> Iterator[Text]:
    """Why it failed, with the end of the traceback of the stage that did."""
    if run["failure"] is None or run["state"] != "failed":
        return
    failure = run["failure"]
    where = f" in {stage}" if (stage := failed_in(failure)) else ""
    yield Text.assemble(("\nfailed", "red"), f"{where}: {plain(failure['reason'])}")
    error = _last_error(run, failure["stage"])
    if error is not None:
        yield Text(f"  {plain(_short_type(error['type']))}: {plain(error['message'])}")
        for line in _short_traceback(error["traceback"]):
            yield Text(f"  {plain(line)}", style="dim")


def _short_traceback(told: str) -> list[str]:
    """Its last few lines of code, without the message, which is told already, and without the marks under the code."""
    lines = [line for line in told.rstrip().splitlines()[1:-1] if line.strip(" ^~")]
    return lines[-SHORT_LINES:]


def _last_error(run: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    tries = [tried for stage in run["stages"] if stage["name"] == name for tried in stage["attempts"]]
    return next((tried["error"] for tried in reversed(tries) if tried["error"]), None)


def _what_next(run: Mapping[str, Any]) -> Iterator[Text]:
    """The exact commands that help."""
    if run["next_command"] is None:
        return
    yield Text.assemble("\nnext: ", (run["next_command"], "bold"))
    stage = (run["failure"] or {}).get("stage")
    if run["state"] == "failed" and any(one["name"] == stage for one in run["stages"]):
        yield Text.assemble("logs: ", (f"tidemill logs {run['id']} {stage}", "bold"))


def _short_type(dotted: str) -> str:
    return dotted.rpartition(".")[2]
