"""What the daemon has loaded: pipelines, their triggers, and the models they made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.cli.output import Column, coloured, console, print_table
from service.words.parts import how_far, metrics, moment, took

PIPELINES = (
    Column("PIPELINE"),
    Column("VERSION", from_width=60),
    Column("STAGES", wrap=True),
    Column("GATES", from_width=100, right=True),
    Column("TRIGGERS", from_width=60, right=True),
)
CODE_VERSIONS = (
    Column("VERSION"),
    Column("FIRST LOADED", from_width=60),
    Column("REPLAY"),
    Column("CODE", from_width=80, right=True),
    Column("NOTE", wrap=True),
)
TRIGGERS = (
    Column("TRIGGER", wrap=True),
    Column("KIND", from_width=100),
    Column("STATE"),
    Column("NEXT DUE", from_width=60),
    Column("LAST SEEN", from_width=80),
    Column("LAG", right=True),
    Column("NOTE", from_width=110, wrap=True),
)
SINKS = (
    Column("SINK", wrap=True),
    Column("TOLD", right=True),
    Column("REFUSED", from_width=80, right=True),
    Column("BEHIND", right=True),
    Column("NOTE", wrap=True),
)
MODELS = (Column("MODEL"), Column("VERSIONS", right=True), Column("LATEST", right=True), Column("ALIASES", wrap=True))
VERSIONS = (
    Column("VERSION", right=True),
    Column("STATE"),
    Column("ALIASES"),
    Column("MADE", from_width=80),
    Column("RUN", right=True),
    Column("METRICS", from_width=100, wrap=True),
)


def print_pipelines(answer: Mapping[str, Any]) -> None:
    """One line a pipeline."""
    rows = [
        (
            one["name"],
            one["version"],
            ", ".join(stage["name"] for stage in one["stages"]),
            len(one["gates"]),
            len(one["triggers"]),
        )
        for one in answer["pipelines"]
    ]
    print_table(PIPELINES, rows, nothing="the daemon has no pipeline loaded: set TIDEMILL_PIPELINES")


def print_versions_of(answer: Mapping[str, Any], now: datetime) -> None:
    """One line a version."""
    rows = [
        (
            one["version"],
            moment(one["first_seen_at"], now),
            "yes" if one["replayable"] else "no",
            "" if one["code_bytes"] is None else f"{one['code_bytes']} bytes",
            _noted(one),
        )
        for one in answer["versions"]
    ]
    print_table(CODE_VERSIONS, rows, nothing=f"{answer['pipeline']} has no version on record yet")


def _noted(version: Mapping[str, Any]) -> str:
    """Of a version. A doubt is about the code that was kept, also while it is loaded."""
    why_not = version["why_not"]
    told = ("loaded", why_not and f"no replay once it is not: {why_not}") if version["loaded"] else (why_not,)
    return "; ".join(one for one in (*told, version["doubt"]) if one)


def print_triggers(answer: Mapping[str, Any], now: datetime) -> None:
    """One line a trigger, and one for each sink that is told how runs go."""
    rows = [
        (
            one["name"],
            one["kind"],
            coloured(one["state"]),
            moment(one["next_due_at"], now),
            how_far(one["last_seen_at"], now),
            _lag(one),
            "  ".join(part for part in (one["address"], one["note"]) if part),
        )
        for one in answer["triggers"]
    ]
    print_table(TRIGGERS, rows, nothing="the pipelines of this daemon declare no triggers")
    if answer["sinks"]:
        console().print()
        print_table(SINKS, [_sink(one, now) for one in answer["sinks"]], nothing="")


def _lag(one: Mapping[str, Any]) -> str:
    """How many wait, and for how long: `1,204 (35 s)`."""
    told = [] if one["lag_records"] is None else [f"{one['lag_records']:,}"]
    if one["lag_s"]:
        told.append(f"({took(one['lag_s'])})")
    return " ".join(told)


def _sink(sink: Mapping[str, Any], now: datetime) -> tuple[Any, ...]:
    since = f"fails since {moment(sink['failing_since'], now)}: {sink['note']}" if sink["note"] else ""
    return sink["name"], f"{sink['delivered']:,}", f"{sink['refused']:,}", took(sink["lag_s"]), since


def print_models(answer: Mapping[str, Any]) -> None:
    """One line a model."""
    rows = [(one["model"], one["versions"], one["latest"], _aliases(one["aliases"])) for one in answer["models"]]
    print_table(MODELS, rows, nothing="no model is registered yet")


def print_versions(page: Mapping[str, Any], now: datetime) -> None:
    """One line a version, newest first."""
    rows = [
        (
            one["version"],
            one["state"],
            ", ".join(one["aliases"]),
            moment(one["created_at"], now),
            one["run_id"] or "",
            metrics(one["metrics"]),
        )
        for one in page["versions"]
    ]
    print_table(VERSIONS, rows, nothing=f"model {page['model']} has no versions")


def _aliases(aliases: Mapping[str, int]) -> str:
    return ", ".join(f"{name} -> {version}" for name, version in aliases.items())
