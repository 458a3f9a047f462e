"""What a clean-up removed, or would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from service.cli.output import Column, console, print_table
from service.words.parts import size

COLUMNS = (
    Column("PIPELINE"),
    Column("RUNS", right=True),
    Column("ATTEMPTS", right=True),
    Column("LOG LINES", right=True, from_width=70),
    Column("ARTIFACTS", right=True),
    Column("SIZE", right=True),
)


def print_clean_up(done: Mapping[str, Any]) -> None:
    """One line a pipeline, then the rest in sentences."""
    rows = [
        (
            one["pipeline"],
            f"{one['runs']:,}",
            f"{one['attempts']:,}",
            f"{one['log_lines']:,}",
            f"{one['artifacts']:,}",
            size(one["size_bytes"]),
        )
        for one in done["pipelines"]
    ]
    print_table(COLUMNS, rows, nothing=_no_runs(done))
    for line in _sentences(done):
        console().print(Text(line))


def _no_runs(done: Mapping[str, Any]) -> str:
    if done["days"] is None and done["runs"] is None:
        return "runs are kept for ever: set retention.days or retention.runs, or give --days or --keep"
    return "no run goes"


def _sentences(done: Mapping[str, Any]) -> Iterator[str]:
    verb = "would be " if done["dry_run"] else ""
    if done["events"]:
        yield f"{done['events']:,} events {verb}forgotten"
    for what, told in (("set_aside", "set aside, since nothing refers to them"), ("dropped", "dropped for good")):
        total = done[what]
        if total["artifacts"]:
            yield f"{total['artifacts']:,} artifacts ({size(total['size_bytes'])}) {verb}{told}"
    if done["brought_back"]:
        yield f"{done['brought_back']:,} artifacts brought back, since something refers to them again"
    if done["in_review"]:
        yield f"{done['in_review']:,} failed runs stay until somebody resumes or abandons them: tidemill reviews"
    if done["left"]:
        yield f"{done['left']:,} runs go the next time: something that began before they were marked is under way"
    if done["dry_run"]:
        yield "nothing was changed: --yes removes it"
