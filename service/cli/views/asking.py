"""What an event would do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from service.cli.output import Column, coloured, console, plain, print_facts, print_table

TRIGGERS = (
    Column("PIPELINE"),
    Column("TRIGGER", wrap=True),
    Column("WOULD BE"),
    Column("WHY", wrap=True),
)


def print_event_explained(found: Mapping[str, Any]) -> None:
    """The runs that would start, then what each trigger says."""
    out, event = console(), found["cloudevent"]
    out.print(Text(plain(_sentence(found))))
    print_facts([(name, event.get(name)) for name in ("id", "source", "type", "subject")] + [("route", found["route"])])
    for run in found["runs"]:
        out.print()
        out.print(Text(plain(f"a run of {run['pipeline']} {run['version']} by {run['trigger']}: {run['told']}")))
        print_facts(_facts(run))
    out.print()
    rows = [row for one in found["triggers"] for row in _rows(one)]
    print_table(TRIGGERS, rows, nothing="no pipeline is loaded")


def _sentence(found: Mapping[str, Any]) -> str:
    runs = found["runs"]
    would = f"it would start {len(runs)} run{'' if len(runs) == 1 else 's'}" if runs else "it would start nothing"
    if not found["known"]:
        return would
    return f"it was accepted before, and sent again changes nothing (tidemill event {found['key']}); new, {would}"


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    limits = run["limits"]
    yield "params", json.dumps(run["params"], ensure_ascii=False)
    yield "priority", str(run["priority"]) if run["priority"] else ""
    yield "tags", ", ".join(run["tags"])
    yield "due", run["due_at"]
    if limits["at_most"] is not None:
        yield "key", f"{limits['key']}, at most {limits['at_most']} at once ({limits['policy']})"
    if limits["max_running"] is not None:
        yield "running", f"{limits['running']} of at most {limits['max_running']}"
    if limits["rate"] is not None:
        yield "rate", f"{limits['rate_started']} of at most {limits['rate_runs']} in {limits['rate_per_s']:g} s"
    if limits["pool"] is not None:
        yield "pool", f"{limits['pool']}, {limits['pool_taken']} of {limits['pool_places']} taken"


def _rows(verdict: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """One line, and one more for each further clause that says no."""
    fate = coloured(verdict["fate"]) if verdict["fate"] else "not reached"
    clauses = [one["told"] for one in verdict["clauses"]] if verdict["fate"] == "ignored" else []
    yield verdict["pipeline"], verdict["trigger"], fate, verdict["reason"]
    for told in clauses[1:]:
        yield "", "", "", f"and {told}"
