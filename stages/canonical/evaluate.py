"""Evaluate: metrics as a whole and by slice, and the checks that decide whether a model may go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from stages.errors import Permanent

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["primary", "secondary", "guardrail", "reproducibility"]


class Check(BaseModel):
    """One comparison of a value with a bound."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Kind
    value: float
    bound: float
    relation: Literal["at_least", "at_most"]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the value is on the right side of the bound. Not a number passes nothing."""
        return self.value >= self.bound if self.relation == "at_least" else self.value <= self.bound


def at_least(bound: float, value: float, name: str, kind: Kind) -> Check:
    """A check that `value` is no smaller than `bound`."""
    return Check(name=name, kind=kind, value=value, bound=bound, relation="at_least")


def at_most(bound: float, value: float, name: str, kind: Kind) -> Check:
    """A check that `value` is no greater than `bound`."""
    return Check(name=name, kind=kind, value=value, bound=bound, relation="at_most")


class Slice(BaseModel):
    """The metrics of the rows in which `column` is `value`."""

    model_config = ConfigDict(frozen=True)

    column: str
    value: str
    rows: int
    metrics: dict[str, float]


class EvaluationReport(BaseModel):
    """What was measured on the hold-out and what is thought of it; read by the `tests_pass` gate."""

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, float]
    slices: list[Slice]
    checks: list[Check]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def regression_metrics(truth: pl.Series, predicted: pl.Series) -> dict[str, float]:
    """`mae`, `rmse`, `bias` (mean of predicted - true), `p90` (of the absolute error) and `r2`.

    Where the truth does not vary, r2 is 0 unless all is right. Raises `Permanent` for no rows and for missing values.
    """
    if not truth.len() or truth.null_count() or predicted.null_count():
        raise Permanent(f"nothing to measure: {truth.len()} rows, {truth.null_count()} of them without a label")
    wanted = truth.cast(float).to_numpy()
    error = predicted.cast(float).to_numpy() - wanted
    squared, variance = float((error**2).mean()), float(wanted.var())
    return {
        "mae": float(abs(error).mean()),
        "rmse": squared**0.5,
        "bias": float(error.mean()),
        "p90": sorted(abs(error).tolist())[int(0.9 * (len(error) - 1))],
        "r2": 1 - squared / variance if variance else float(not squared),
    }


def regression_slices(frame: pl.DataFrame, column: str, *, truth: str, predicted: str, min_rows: int) -> list[Slice]:
    """The metrics for each value of `column` that has at least `min_rows` rows, in the order of the values."""
    return [
        Slice(
            column=column,
            value=str(key),
            rows=part.height,
            metrics=regression_metrics(part[truth], part[predicted]),
        )
        for (key,), part in sorted(frame.group_by(column), key=lambda group: str(group[0][0]))
        if part.height >= min_rows
    ]
