"""Gates on metrics: what a stage recorded, and what its output says of itself, as a whole or slice by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.gates.base import SHOWN, GateContext, GateResult
from stages.gates.production import ProductionValue
from stages.registry import ModelVersion

Threshold = float | ProductionValue


@dataclass(frozen=True)
class MetricsGate:
    """Passes when every metric is on the right side of its threshold. A missing or NaN metric is on neither."""

    name: str
    thresholds: Mapping[str, Threshold]
    above: bool
    by_slice: str | None = None
    min_rows: int = 0

    @property
    def needs_output(self) -> bool:
        """Whether the slices of the output are looked at."""
        return self.by_slice is not None

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose version in production is compared with."""
        return tuple({one.model: None for one in self.thresholds.values() if isinstance(one, ProductionValue)})

    def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`."""
        if self.by_slice is not None:
            return self._slices(evidence.output, self.by_slice)
        known = {**metrics_of(evidence.output), **evidence.metrics}
        shown, wrong = {}, []
        for name in self.thresholds:
            shown[name], reason = self._compare(name, known, evidence.production)
            wrong += [reason] if reason else []
        return GateResult.of(not wrong, "; ".join(wrong), {"metrics": shown})

    def _compare(
        self, name: str, known: Mapping[str, float], versions: Mapping[str, ModelVersion]
    ) -> tuple[dict[str, Any], str]:
        """A metric and its threshold as evidence, and what is wrong with it, if anything."""
        threshold = self.thresholds[name]
        if not isinstance(threshold, ProductionValue):
            return {"value": known.get(name), "threshold": threshold}, self._wrong(name, threshold, known)
        bound, relative = threshold.bound(name, versions)
        shown: dict[str, Any] = {"value": known.get(name), "threshold": bound, "production": relative}
        if relative["version"] is None:
            shown["note"] = f"no version of {threshold.model} is in production yet: there is nothing to compare with"
            return shown, ""
        whose = f"version {relative['version']} of {threshold.model} in production"
        if bound is None:
            return shown, f"{whose} has no {name} to compare with"
        wrong = self._wrong(name, bound, known)
        return shown, f"{wrong} ({whose} has {relative['value']:.6g})" if wrong else ""

    def _wrong(self, name: str, bound: float, known: Mapping[str, float]) -> str:
        if name not in known:
            return f"{name} was not recorded (there are {', '.join(sorted(known)) or 'no metrics'})"
        value = known[name]
        if value >= bound if self.above else value <= bound:
            return ""
        return f"{name} is {value:.6g}, {'below' if self.above else 'above'} {bound:.6g}"

    def _slices(self, output: Any, column: str) -> GateResult:
        found = _listed(output)
        slices = [one for one in found if str(_get(one, "column")) == column]
        checked = [one for one in slices if _rows(one) >= self.min_rows]
        told: dict[str, Any] = {"by_slice": column, "min_rows": self.min_rows, "slices": []}
        told["too_small"] = [
            {"value": str(_get(one, "value")), "rows": _rows(one)} for one in slices if _rows(one) < self.min_rows
        ]
        if not checked:
            return GateResult.of(False, _nothing(found, slices, column, self.min_rows), told)
        wrong = []
        for one in checked:
            value, known = str(_get(one, "value")), metrics_of(one)
            compared = {name: self._compare(name, known, {}) for name in self.thresholds}
            reasons = [f"{column} {value}: {reason}" for _, reason in compared.values() if reason]
            metrics = {name: shown for name, (shown, _) in compared.items()}
            told["slices"].append({"value": value, "rows": _rows(one), "passed": not reasons, "metrics": metrics})
            wrong += reasons
        more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        return GateResult.of(not wrong, "; ".join(wrong[:SHOWN]) + more, told)


def metrics_above(
    *, name: str = "metrics_above", by_slice: str | None = None, min_rows: int = 0, **thresholds: Threshold
) -> MetricsGate:
    """Passes when each metric is at its threshold or above, as in `metrics_above(r2=0.2)`.

    Metrics are what the source stage recorded by `StageContext.record_metrics`; where its output is plain data with
    `metrics`, those count too. A threshold may be relative to the model in production, as in
    `metrics_above(r2=production("flights") - 0.01)`.

    With `by_slice="carrier"` they are those of each of the output's `slices` by that column (`EvaluationReport`) that
    has at least `min_rows` rows, and the thresholds must hold in every one.
    """
    return MetricsGate(name, _checked(thresholds, by_slice, min_rows), True, by_slice, min_rows)


def metrics_below(
    *, name: str = "metrics_below", by_slice: str | None = None, min_rows: int = 0, **thresholds: Threshold
) -> MetricsGate:
    """Passes when each metric is at its threshold or below, as in `metrics_below(mae=20)`. See `metrics_above`."""
    return MetricsGate(name, _checked(thresholds, by_slice, min_rows), False, by_slice, min_rows)


def metrics_of(output: Any) -> dict[str, float]:
    """The numbers under `metrics` of a mapping or object, or none."""
    found = _get(output, "metrics")
    if not isinstance(found, Mapping):
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, int | float)}


def _checked(thresholds: Mapping[str, Threshold], by_slice: str | None, min_rows: int) -> Mapping[str, Threshold]:
    if not thresholds:
        raise ValueError("name at least one metric and its threshold, as in metrics_above(r2=0.2)")
    if by_slice is None and min_rows:
        raise ValueError(f"min_rows={min_rows} is about slices: say which, as in by_slice='carrier'")
    for name, bound in thresholds.items():
        if isinstance(bound, ProductionValue):
            if by_slice is not None:
                raise ValueError(f"the registry keeps no slices of models to compare {name} with: give a number")
        elif isinstance(bound, bool) or not isinstance(bound, int | float):
            raise TypeError(f"the threshold of {name} is {bound!r}: it must be a number")
    return thresholds


def _nothing(found: Sequence[Any], slices: Sequence[Any], column: str, min_rows: int) -> str:
    """Why there is no slice to check."""
    if slices:
        return f"none of the {len(slices)} slices by {column} has {min_rows} rows"
    known = ", ".join(sorted({str(_get(one, "column")) for one in found}))
    return f"the output has no slices by {column}" + (f", only by {known}" if known else "")


def _listed(output: Any) -> Sequence[Any]:
    found = _get(output, "slices")
    return found if isinstance(found, list | tuple) else ()


def _rows(one: Any) -> int:
    rows = _get(one, "rows")
    return rows if isinstance(rows, int) else 0


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
