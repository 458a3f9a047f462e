"""Gates on how much data there is, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass

from stages.gates.base import GateContext, GateResult
from stages.gates.table import count_rows, newest


@dataclass(frozen=True)
class RowCount:
    """Passes when the output has at least and at most so many rows."""

    name: str
    at_least: int
    at_most: int | None
    needs_output: bool = True

    def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`."""
        rows = count_rows(evidence.output)
        told = {"rows": rows, "at_least": self.at_least, "at_most": self.at_most}
        if rows < self.at_least:
            return GateResult.of(False, f"{rows} rows, fewer than {self.at_least}", told)
        if self.at_most is not None and rows > self.at_most:
            return GateResult.of(False, f"{rows} rows, more than {self.at_most}", told)
        return GateResult.of(True, evidence=told)


@dataclass(frozen=True)
class Fresh:
    """Passes when the data are not too old."""

    name: str
    max_age_s: float
    column: str | None

    @property
    def needs_output(self) -> bool:
        """Whether the age is read from a column."""
        return self.column is not None

    def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`."""
        made = evidence.finished_at if self.column is None else newest(evidence.output, self.column)
        whose = f"the output of {evidence.source_stage}" if self.column is None else f"the newest {self.column}"
        if made is None:
            return GateResult.of(
                False, f"{whose} is nothing: there are no rows to be fresh", {"max_age_s": self.max_age_s}
            )
        age_s = (evidence.now - made).total_seconds()
        told = {"newest": made.isoformat(), "age_s": age_s, "max_age_s": self.max_age_s}
        if age_s <= self.max_age_s:
            return GateResult.of(True, evidence=told)
        return GateResult.of(False, f"{whose} is {age_s:.0f} s old, more than {self.max_age_s:.0f} s", told)


def row_count(at_least: int = 1, at_most: int | None = None, *, name: str = "row_count") -> RowCount:
    """Passes when the output (a frame, or anything with a length) has `at_least` to `at_most` rows, both included."""
    return RowCount(name, at_least, at_most)


def fresh(max_age_s: float, *, column: str | None = None, name: str = "fresh") -> Fresh:
    """Passes when the data are at most `max_age_s` old at the moment of the check.

    With `column`, the age is that of its newest value (no zone: UTC). Without, it is the time since the source stage
    made its output: a run that waited, or took a stored result, does not go on with what has become old meanwhile.
    """
    return Fresh(name, max_age_s, column)
