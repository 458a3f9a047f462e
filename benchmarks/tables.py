"""What a benchmark found, as tables that are printed, written as JSON and rendered in docs/performance.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as Printed

# No figure may be cut, whatever terminal this is.
WIDTH = 170


@dataclass(frozen=True, slots=True)
class Column:
    """Shows the figure `key` of each row, formatted as `form`; where a row lacks it, nothing."""

    key: str
    label: str
    form: str = ",.0f"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures, each with its `name`. A row may hold more than the columns show."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Goal:
    """What the figure `key` of a row must be: `least` it, or `most`. `aim` is where it should get.

    `row` is the row's name, or its place in the first table.
    """

    says: str
    row: str | int
    key: str
    aim: float
    least: float | None = None
    most: float | None = None
    unit: str = ""

    def reached(self, tables: Sequence[Table]) -> dict[str, Any]:
        """What was found, what must be, and whether it holds. No such row or figure: None was found."""
        figure = next((row[self.key] for row in self._rows(tables) if self.key in row), None)
        return {
            "says": self.says,
            "reached": figure,
            "must": f"{self.least:g}{self.unit}" if self.most is None else f"at most {self.most:g}{self.unit}",
            "aim": f"{self.aim:g}{self.unit}",
            "unit": self.unit,
            "holds": figure is not None and self._holds(figure),
        }

    def _rows(self, tables: Sequence[Table]) -> Sequence[Mapping[str, Any]]:
        if isinstance(self.row, int):
            return [tables[0].rows[self.row]]
        return [row for table in tables for row in table.rows if row["name"] == self.row]

    def _holds(self, figure: float) -> bool:
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)


def cells(table: Table, row: Mapping[str, Any]) -> list[str]:
    """A row as it is shown."""
    return [row["name"], *(_cell(row.get(one.key), one.form) for one in table.columns)]


def show(table: Table) -> None:
    """Print a table."""
    printed = Printed(title=table.title, title_justify="left")
    for label in ("", *(column.label for column in table.columns)):
        printed.add_column(label.replace(" ", "\n"), justify="right" if label else "left", no_wrap=True)
    for row in table.rows:
        printed.add_row(*cells(table, row))
    Console(width=WIDTH).print(printed, *table.notes, sep="\n", highlight=False)


def markdown(table: Table) -> str:
    """A table for a document."""
    lines = [f"**{table.title}**", "", *grid(["", *(column.label for column in table.columns)], table)]
    return "\n".join([*lines, "", *table.notes] if table.notes else lines)


def grid(heads: Sequence[str], table: Table) -> list[str]:
    """The lines of a Markdown table."""
    ruler = ["---", *("---:" for _ in heads[1:])]
    return [f"| {' | '.join(line)} |" for line in (heads, ruler, *(cells(table, row) for row in table.rows))]


def _cell(figure: Any, form: str) -> str:
    if figure is None:
        return ""
    return figure if isinstance(figure, str) else format(figure, form)
