"""Failed runs that wait for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from service.cli.output import console, plain, print_grid
from service.words.events import event_name
from service.words.parts import artifact, moment

SHORT_LINES = 6


def print_reviews(page: Mapping[str, Any], now: datetime) -> None:
    """One paragraph a run: what failed, why, on what, and what can be done."""
    out = console()
    if not page["reviews"]:
        out.print("no failed run waits for a person")
        return
    for index, one in enumerate(page["reviews"]):
        if index:
            out.print()
        for line in _review(one, now):
            out.print(line)
        width = max((len(each["command"]) for each in one["commands"]), default=0)
        print_grid([("  ", each["command"], each["says"]) for each in one["commands"]], widths=(0, width))


def _review(one: Mapping[str, Any], now: datetime) -> Iterator[Text]:
    where = f" in {one['kind']} {one['name']}" if one["name"] else ""
    yield Text.assemble(
        (f"run {one['run']}", "bold"),
        f" of {plain(one['pipeline'])} ",
        ("failed", "red"),
        plain(where),
        f" {moment(one['failed_at'], now)}",
    )
    tries = f", after {one['attempts']} attempts" if one["attempts"] > 1 else ""
    yield Text(plain(f"  {one['reason']}{tries}"))
    if one["error"] is not None:
        yield Text(plain(f"  {one['error']['type'].rpartition('.')[2]}: {one['error']['message']}"))
        for line in one["error"]["traceback"].splitlines()[:-1][-SHORT_LINES:]:
            yield Text(f"  {plain(line)}", style="dim")
    if one["evidence"]:
        yield Text(plain(f"  evidence {_json(one['evidence'])}"))
    for given in one["inputs"]:
        yield Text(plain(f"  input    {given['stage']} {artifact(given)}"))
    if one["params"]:
        yield Text(plain(f"  params   {_json(one['params'])}"))
    yield Text(plain(f"  event    {event_name(one['event'], one['pipeline'])}"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
