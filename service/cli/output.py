"""How answers look: JSON as the API gave it, tables and lines for people. Rich is imported when first needed."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
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
    "ended": "dim",
    "coalesced": "green",
    "paused": "yellow",
    "rate-limited": "yellow",
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
    _draw(table, out)


def print_facts(facts: Iterable[tuple[str, Any]]) -> None:
    """Names and values, one below the other, without those that have no value; a long value stays in its column."""
    print_grid([("", name, value) for name, value in facts if value], widths=(0, 9))


def print_grid(rows: Iterable[Sequence[Any]], *, widths: Sequence[int], out: Console | None = None) -> None:
    """Rows without a header: columns of these widths at least, and after them one that takes what is left."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        grid.add_column(min_width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        grid.add_row(*(_cell(cell) for cell in row))
    _draw(grid, out or console())


def write_bytes(content: bytes) -> None:
    """Bytes as they are, for a file or the next program."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


@contextmanager
def working(text: str) -> Iterator[Console]:
    """A console to print to, with a spinner below what is printed while it lasts; none where nobody looks."""
    out = console()
    with out.status(text) if out.is_terminal else nullcontext():
        yield out


def _draw(table: Table, out: Console) -> None:
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as drawn:
        out.print(table)
    typer.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def say(text: str) -> None:
    """One line on stderr: progress, hints, what stands beside the answer."""
    print(text, file=sys.stderr, flush=True)


def say_next(after: str | None) -> None:
    """How to see what comes after this page of a list by name, if there is any."""
    if after is not None:
        say(f"more: --after {shlex.quote(after)}")


def _cell(value: Any) -> Any:
    return plain(value) if isinstance(value, str | int | float) else value


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()
