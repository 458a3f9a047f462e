"""What changed from one run to another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from service.cli.output import Column, coloured, console, plain, print_table
from service.words.parts import DIGEST_SHOWN, number, took

VALUE_SHOWN = 60
EXPLAINED = (Column("STAGE"), Column("STATE"), Column("WHY", wrap=True))

Row = tuple[str, str, str, str]


def print_explanation(found: Mapping[str, Any]) -> None:
    """One line a stage."""
    since = f", compared with run {found['since']}" if found["since"] is not None else ""
    console().print(Text(plain(f"run {found['run']} of {found['pipeline']} {found['version']}{since}")))
    rows = [(one["stage"], coloured(one["state"]), one["told"]) for one in found["stages"]]
    print_table(EXPLAINED, rows, nothing="it has no stages that are known")


def print_diff(found: Mapping[str, Any]) -> None:
    """A line for each thing that differs, the two runs in columns."""
    a, b = found["a"], found["b"]
    columns = (
        Column("WHAT"),
        Column(f"RUN {a['run']}", wrap=True),
        Column(f"RUN {b['run']}", wrap=True),
        Column("CHANGE", right=True),
    )
    rows = [*_sides(a, b), *_named("event", found["event"]), *_named("params", found["params"])]
    for stage in found["stages"]:
        rows += _stage(stage)
    for gate in found["gates"]:
        rows += _gate(gate)
    print_table(columns, rows, nothing="")
    same = [one["stage"] for one in found["stages"] if one["same_output"]]
    if same:
        console().print(Text(plain(f"the same output on both sides: {', '.join(same)}")))


def _sides(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Row]:
    for name in ("pipeline", "version", "trigger", "state"):
        if a[name] != b[name] or name == "state":
            yield name, a[name], b[name], ""
    yield "took", took(a["duration_s"]), took(b["duration_s"]), _change(a["duration_s"], b["duration_s"], "s")


def _named(what: str, found: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for one in found:
        yield f"{what} {one['name']}", _value(one["a"]), _value(one["b"]), ""


def _stage(stage: Mapping[str, Any]) -> Iterator[Row]:
    name = stage["stage"]
    for one in (stage["state"], stage["result"]):
        if one["a"] != one["b"]:
            yield f"{name} {one['name']}", one["a"] or "", one["b"] or "", ""
    for part in ("code", "environment"):
        if stage[part] is False:
            yield f"{name} {part}", "", "", "changed"
    for one in (*stage["inputs"], *([stage["output"]] if stage["same_output"] is False else [])):
        what = "output" if one is stage["output"] else f"input {one['name']}"
        yield f"{name} {what}", (one["a"] or "")[:DIGEST_SHOWN], (one["b"] or "")[:DIGEST_SHOWN], ""
    for one in stage["metrics"]:
        if one["a"] != one["b"]:
            yield f"{name} {one['name']}", _number(one["a"]), _number(one["b"]), _change(one["a"], one["b"])
    timing = stage["duration_s"]
    if timing["a"] is not None and timing["b"] is not None:
        yield f"{name} took", took(timing["a"]), took(timing["b"]), _change(timing["a"], timing["b"], "s")


def _gate(gate: Mapping[str, Any]) -> Iterator[Row]:
    if gate["same"]:
        return
    yield f"gate {gate['gate']}", gate["state"]["a"], gate["state"]["b"], ""
    if gate["reason"]["a"] != gate["reason"]["b"]:
        yield f"gate {gate['gate']} reason", gate["reason"]["a"], gate["reason"]["b"], ""
    yield from _named(f"gate {gate['gate']}", gate["evidence"])


def _number(value: float | None) -> str:
    return "" if value is None else number(value)


def _change(a: float | None, b: float | None, unit: str = "") -> str:
    if a is None or b is None or a == b:
        return ""
    share = f" ({(b - a) / abs(a):+.1%})" if a else ""
    return f"{b - a:+.4g}{' ' + unit if unit else ''}{share}"


def _value(value: Any) -> str:
    if value is None:
        return ""
    told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return told if len(told) <= VALUE_SHOWN else f"{told[: VALUE_SHOWN - 3]}..."
