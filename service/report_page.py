"""A report as one page: no script, nothing fetched, everything escaped; for screens of any width, and for paper."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from service.report import Report, ReportAttempt, ReportGate, ReportStage
from service.words.deeds import in_words
from service.words.endings import failed_why
from service.words.times import lasted

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0; --paper: #fff; --band: #f5f7f9;
  --good: #1a7f37; --bad: #c62828; --wait: #9a6700; --work: #0958b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebee; --soft: #9aa5b1; --line: #353c45; --paper: #15191e;
  --band: #1d2228; --good: #4ac26b; --bad: #ff7b72; --wait: #e0b04a; --work: #6cb0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .3rem 0; }
.soft, dt, th { color: var(--soft); }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .2rem 1.2rem; margin: .4rem 0; }
dd { margin: 0; }
code, pre { font: .86em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--band); border: 1px solid var(--line); border-radius: 6px; padding: .6rem .8rem; margin: .5rem 0;
  white-space: pre-wrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 500; font-size: .86em; }
td { min-width: 4.5rem; }
.state { font-weight: 600; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); } .wait { color: var(--wait); } .work { color: var(--work); }
@media screen and (max-width: 40rem) { thead { display: none; } tr { display: block; padding: .4rem 0;
  border-bottom: 1px solid var(--line); } td { display: flex; gap: .8rem; padding: .1rem 0; border: 0; }
  td:empty { display: none; } td::before { content: attr(data-title); flex: 0 0 6.5rem; color: var(--soft); }
  dl { grid-template-columns: 6.5rem 1fr; gap: .2rem .8rem; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --band: #fff;
  --good: #000; --bad: #000; --wait: #000; --work: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; } .wide { overflow: visible; } h2, h3 { break-after: avoid; }
  tr, dl { break-inside: avoid; } @page { margin: 16mm; } }
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# What a browser may do with the page: show it in its own style, and nothing else.
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
LOOKS = {
    **dict.fromkeys(("succeeded", "passed", "reused", "approved", "production"), "good"),
    **dict.fromkeys(("failed", "rejected"), "bad"),
    **dict.fromkeys(("waiting", "lost"), "wait"),
    **dict.fromkeys(("running", "queued"), "work"),
}

Facts = Iterable[tuple[str, str]]


def page(report: Report) -> str:
    """The whole document."""
    title = f"Run {report['run']} of {report['pipeline']}: {report['state']}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{''.join(_sections(report))}</body>\n</html>\n"
    )


def escaped(value: Any) -> str:
    """Anything as text that HTML takes for text."""
    return html.escape(str(value), quote=True)


def _sections(report: Report) -> Iterator[str]:
    yield _head(report)
    yield _section("Event", _facts(_event(report)), _block(report["event"]["cloudevent"]))
    if report["shared"]:
        shared = [
            (_code_text(one["id"]), escaped(one["source"]), _at(one["accepted_at"]), _block(one["cloudevent"]))
            for one in report["shared"]
        ]
        yield _section("Events that share the run", _table(("Id", "Source", "Accepted", "Event"), shared))
    yield _section("Parameters", _block(report["params"]) if report["params"] else _none("It takes no parameters."))
    yield _section("Code", _table(("Stage", "Version", "Code", "Environment", "Runner"), _code(report)))
    yield _section("Stages", *(_stage(stage) for stage in report["stages"]))
    if report["gates"]:
        yield _section("Gates", *(_gate(gate) for gate in report["gates"]))
    approvals = [
        (
            *(_state(one["decision"]), escaped(one["gate"]), escaped(one["by"]), escaped(one["role"] or "")),
            *(_at(one["at"]), escaped(one["reason"]), _code_text(one["subject"])),
        )
        for one in report["approvals"]
    ]
    if approvals:
        titles = ("Decision", "Gate", "By", "As", "At", "Reason", "About")
        yield _section("Approvals", _table(titles, approvals))
    yield _section("What people did", _table(("At", "Who", "What", "Why"), _actions(report), "Nothing."))
    yield _section("Cause and effect", _facts(_causes(report)), _caused(report))
    if report["models"]:
        yield _section("Models registered", _table(("Model", "State", "Made", "Metrics", "Artifacts"), _models(report)))


def _section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{escaped(title)}</h2>\n{''.join(parts)}</section>\n"


def _head(report: Report) -> str:
    failure, took = report["failure"], _took(report["duration_s"])
    facts = [
        ("Version", _code_text(report["version"])),
        ("Trigger", escaped(report["trigger"])),
        ("Asked by", escaped(report["asked_by"] or "")),
        ("Tags", escaped(", ".join(report["tags"]))),
        ("Queued", _at(report["queued_at"])),
        ("Started", _at(report["started_at"])),
        ("Finished", _at(report["finished_at"])),
        ("Took" if report["finished_at"] else "So far", took),
        ("Due", _at(report["due_at"])),
        ("Late since", _at(report["late_at"])),
        ("Failed in", escaped(failed_why(failure)) if failure else ""),
        ("Cancelled by", escaped(report["ended_by"] or "")),
    ]
    if (abandoned := report["abandoned"]) is not None:
        facts.append(("Abandoned", escaped(f"by {abandoned['by']}: {abandoned['detail']['reason'] or ''}")))
    return (
        f"<header>\n<h1>Run {report['run']} of {escaped(report['pipeline'])}</h1>\n<p>{_state(report['state'])} "
        f'<span class="soft">as recorded on {_at(report["generated_at"])}</span></p>\n{_facts(facts)}</header>\n'
    )


def _event(report: Report) -> Facts:
    event = report["event"]
    yield "Id", _code_text(event["id"])
    yield "Source", escaped(event["source"])
    yield "Type", escaped(event["type"])
    yield "Subject", escaped(event["subject"] or "")
    yield "Occurred", _told_at(event["occurred_at"])
    yield "Accepted", _at(event["accepted_at"])
    yield "Key", _code_text(event["key"])


def _code(report: Report) -> Iterator[Sequence[str]]:
    for one in report["code"]:
        parts = (one["environment"], one["environment_digest"], one["image"])
        environment = " ".join(_code_text(part) for part in parts if part)
        code = _code_text(one["code_digest"] or "not stored")
        yield escaped(one["stage"]), _code_text(one["version"]), code, environment, escaped(one["runner"] or "")


def _stage(stage: ReportStage) -> str:
    inputs = "<br>".join(f"{escaped(one['stage'])} {_artifact(one)}" for one in stage["inputs"])
    facts = [("Inputs", inputs), ("Output", _artifact(stage["output"])), ("Metrics", _metrics(stage["metrics"]))]
    titles = ("Try", "State", "Started", "Took", "What came of it")
    tries = _table(titles, (_attempt(one) for one in stage["attempts"]), "Not reached.")
    errors = "".join(_error(one) for one in stage["attempts"])
    return f"<h3>{escaped(stage['stage'])} {_state(stage['state'])}</h3>\n{_facts(facts)}{tries}{errors}"


def _attempt(tried: ReportAttempt) -> Sequence[str]:
    place = f" of item {tried['item']}" if tried["item"] >= 0 else ""
    said = [
        f"from run {tried['reused_run']}" if tried["reused_run"] else "",
        f"sub-run {tried['child_run']}" if tried["child_run"] else "",
        f"counts no longer: {tried['void']}" if tried["void"] else "",
        tried["reason"] or "",
        _said(tried),
    ]
    told = escaped("; ".join(one for one in said if one))
    return (
        f"{tried['attempt']}{place}",
        _state(tried["state"]),
        _at(tried["started_at"]),
        _took(tried["duration_s"]),
        told,
    )


def _said(tried: ReportAttempt) -> str:
    error = tried["error"]
    if error is None:
        return ""
    passing = " (transient)" if tried["transient"] else ""
    return f"{error['type'].rpartition('.')[2]}: {error['message']}{passing}"


def _error(tried: ReportAttempt) -> str:
    error = tried["error"]
    return f"<pre>{escaped(error['traceback'])}</pre>\n" if error and error["traceback"] else ""


def _gate(gate: ReportGate) -> str:
    facts = [
        ("Arrow", escaped(f"{gate['source']} → {gate['target']}")),
        ("Check", escaped(gate["check"] or "")),
        ("Reason", escaped(gate["reason"])),
        ("Found for", _code_text(gate["subject"]) if gate["subject"] else ""),
        ("Decided", " ".join(one for one in (escaped(gate["decided_by"] or ""), _at(gate["decided_at"])) if one)),
    ]
    evidence = _block(gate["evidence"]) if gate["evidence"] else ""
    return f"<h3>{escaped(gate['gate'])} {_state(gate['state'])}</h3>\n{_facts(facts)}{evidence}"


def _actions(report: Report) -> Iterator[Sequence[str]]:
    abandoned = report["abandoned"]
    actions = report["actions"]
    known = any(one["action"] == "abandoned" for one in actions)
    for one in [*actions, *([abandoned] if abandoned is not None and not known else [])]:
        yield _at(one["at"]), escaped(one["by"]), *map(escaped, in_words(one["action"], one["detail"]))


def _causes(report: Report) -> Facts:
    stage = f" (stage {report['cause_stage']})" if report["cause_stage"] else ""
    yield "Caused by", escaped(f"run {report['cause_run']}{stage}") if report["cause_run"] else "its event alone"
    yield "Waited for by", f"run {report['parent_run']}" if report["parent_run"] else ""


def _caused(report: Report) -> str:
    rows = (
        (
            str(one["run"]),
            escaped(one["pipeline"]),
            _state(one["state"]),
            escaped(one["stage"] or ""),
            "as a sub-run" if one["waited_for"] else "by an event",
        )
        for one in report["caused"]
    )
    return _table(("Run", "Pipeline", "State", "By stage", "How"), rows, "It caused no other run.")


def _models(report: Report) -> Iterator[Sequence[str]]:
    for one in report["models"]:
        held = "<br>".join(f"{escaped(role)} {_code_text(digest)}" for role, digest in one["artifacts"].items())
        name = escaped(f"{one['model']} {one['version']}" + "".join(f" [{alias}]" for alias in one["aliases"]))
        yield name, _state(one["state"]), _at(one["created_at"]), _metrics(one["metrics"]), held


def _facts(facts: Facts) -> str:
    """Names and values (HTML already), without those that have none."""
    rows = "".join(f"<dt>{escaped(name)}</dt><dd>{value}</dd>\n" for name, value in facts if value)
    return f"<dl>\n{rows}</dl>\n" if rows else ""


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], nothing: str = "") -> str:
    """Cells are HTML already."""
    body = "".join(f"<tr>{_cells(titles, row)}</tr>\n" for row in rows)
    if not body:
        return _none(nothing)
    head = "".join(f"<th>{escaped(title)}</th>" for title in titles)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n'


def _cells(titles: Sequence[str], row: Sequence[str]) -> str:
    """Each with its title, which a narrow screen shows beside it."""
    named = ((escaped(title), f"<div>{cell}</div>" if cell else "") for title, cell in zip(titles, row, strict=True))
    return "".join(f'<td data-title="{title}">{cell}</td>' for title, cell in named)


def _none(told: str) -> str:
    return f'<p class="soft">{escaped(told)}</p>\n' if told else ""


def _block(value: Any) -> str:
    return f"<pre>{escaped(_json(value, indent=2))}</pre>\n"


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=str)


def _state(state: str) -> str:
    return f'<span class="state {LOOKS.get(state, "soft")}">{escaped(state)}</span>'


def _code_text(text: str) -> str:
    return f"<code>{escaped(text)}</code>"


def _artifact(ref: Mapping[str, Any] | None) -> str:
    if ref is None:
        return ""
    unit = "byte" if ref["size_bytes"] == 1 else "bytes"
    return f"{_code_text(ref['digest'])} {escaped(ref['codec'])}, {ref['size_bytes']:,} {unit}"


def _metrics(values: Mapping[str, float]) -> str:
    return escaped("  ".join(f"{name} {value:,.6g}" for name, value in values.items()))


def _at(at: datetime | None) -> str:
    return "" if at is None else f'<time datetime="{at.isoformat()}">{at:%Y-%m-%d %H:%M:%S} UTC</time>'


def _told_at(text: str) -> str:
    """An instant as an event tells it."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return escaped(text)
    return _at(at.astimezone(UTC))


def _took(duration_s: float | None) -> str:
    return "" if duration_s is None else lasted(duration_s)
