"""Gates on metrics: what a stage recorded, and what its output says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.gates.base import GateContext, GateResult


@dataclass(frozen=True)
class MetricsGate:
    """Passes when every metric is on the right side of its threshold. A missing or NaN metric is on neither."""

    name: str
    thresholds: Mapping[str, float]
    above: bool
    needs_output: bool = False

    def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`."""
        known = {**metrics_of(evidence.output), **evidence.metrics}
        wrong = [told for name, bound in self.thresholds.items() if (told := self._wrong(name, bound, known))]
        shown = {name: {"value": known.get(name), "threshold": bound} for name, bound in self.thresholds.items()}
        return GateResult.of(not wrong, "; ".join(wrong), {"metrics": shown})

    def _wrong(self, name: str, bound: float, known: Mapping[str, float]) -> str:
        if name not in known:
            return f"{name} was not recorded (there are {', '.join(sorted(known)) or 'no metrics'})"
        value = known[name]
        if value >= bound if self.above else value <= bound:
            return ""
        return f"{name} is {value:.6g}, {'below' if self.above else 'above'} {bound:.6g}"


def metrics_above(*, name: str = "metrics_above", **thresholds: float) -> MetricsGate:
    """Passes when each metric is at its threshold or above, as in `metrics_above(r2=0.2)`.

    Metrics are what the source stage recorded by `StageContext.record_metrics`; where its output is plain data with
    `metrics`, those count too.
    """
    return MetricsGate(name, _checked(thresholds), above=True)


def metrics_below(*, name: str = "metrics_below", **thresholds: float) -> MetricsGate:
    """Passes when each metric is at its threshold or below, as in `metrics_below(mae=20)`."""
    return MetricsGate(name, _checked(thresholds), above=False)


def metrics_of(output: Any) -> dict[str, float]:
    """The numbers under `metrics` of a mapping or object, or none."""
    found = output.get("metrics") if isinstance(output, Mapping) else getattr(output, "metrics", None)
    if not isinstance(found, Mapping):
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, int | float)}


def _checked(thresholds: Mapping[str, float]) -> Mapping[str, float]:
    if not thresholds:
        raise ValueError("name at least one metric and its threshold, as in metrics_above(r2=0.2)")
    for name, bound in thresholds.items():
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise TypeError(f"the threshold of {name} is {bound!r}: it must be a number")
    return thresholds
