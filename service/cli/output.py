"""How answers look: JSON as the API gave it, tables and lines for people. Rich is imported when first needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Not a terminal: whoever reads the lines wants each whole, on a line of its own.
UNBOUNDED = 10_000
COLOURS = {
    "succeeded": "green",
    "passed": "green",
    "ok": "green",
    "listening": "green",
    "ran": "green",
    "reused": "green",
    "running": "blue",
    "queued": "blue",
    "waiting": "yellow",
    "retrying": "yellow",
    "warning": "yellow",
    "lost": "yellow",
    "failed": "red",
    "dead": "red",
    "problem": "red",
    "cancelled": "dim",
    "ignored": "dim",
    "late": "dim",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. On a terminal narrower than `from_width` characters it is left out."""

    title: str
    from_width: int = 0
    right: bool = False
    wrap: bool = False


def print_json(value: Any) -> None:
    """What the API answered."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def console(*, stderr: bool = False) -> Console:
    """The terminal, or what stands in its place. Takes what it prints as it is: no markup, no control characters."""
    from rich.console import Console

    found = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not found.is_terminal:
        found.width = UNBOUNDED
    return found


def plain(text: Any) -> str:
    """Text of other people's as one line that cannot steer a terminal."""
    shown = str(text)
    return shown if shown.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in shown)


def coloured(state: str) -> Text:
    """A state in the colour it always has."""
    from rich.text import Text

    return Text(plain(state), style=COLOURS.get(state, ""))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], *, nothing: str) -> None:
    """Rows of text, or of `Text` where colour says something; `nothing` where there are none."""
    from rich.table import Table

    out, found = console(), list(rows)
    if not found:
        out.print(nothing)
        return
    kept = [index for index, column in enumerate(columns) if out.width >= column.from_width]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in (columns[index] for index in kept):
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wrap,
            overflow="fold" if column.wrap else "ellipsis",
        )
    for row in found:
        table.add_row(*(_cell(row[index]) for index in kept))
    out.print(table)


@contextmanager
def working(text: str) -> Iterator[None]:
    """A spinner on stderr for what may take over a second; nothing where nobody looks."""
    out = console(stderr=True)
    if not (out.is_terminal and sys.stdout.isatty()):
        yield
        return
    with out.status(text):
        yield


def say(text: str) -> None:
    """One line on stderr: progress, hints, what stands beside the answer."""
    print(text, file=sys.stderr, flush=True)


def _cell(value: Any) -> Any:
    return plain(value) if isinstance(value, str | int | float) else value


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()
