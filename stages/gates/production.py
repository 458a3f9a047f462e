"""A threshold that is relative to the model in production."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from stages.registry import ModelVersion


@dataclass(frozen=True, slots=True)
class ProductionValue:
    """What the version of `model` in production has as the same metric, times `factor`, plus `offset`.

    Reads as it is meant: `production("flights") - 0.01`, `production("flights") * 1.05`.
    """

    model: str
    factor: float = 1.0
    offset: float = 0.0

    def __mul__(self, factor: float) -> ProductionValue:
        return replace(self, factor=self.factor * factor, offset=self.offset * factor)

    __rmul__ = __mul__

    def __add__(self, offset: float) -> ProductionValue:
        return replace(self, offset=self.offset + offset)

    __radd__ = __add__

    def __sub__(self, offset: float) -> ProductionValue:
        return self + -offset

    def bound(self, metric: str, versions: Mapping[str, ModelVersion]) -> tuple[float | None, dict[str, Any]]:
        """The threshold, and what it was made of. None where production has no such model, or it no such metric."""
        version = versions.get(self.model)
        if version is None:
            return None, {"model": self.model, "version": None}
        value = version.metrics.get(metric)
        told = {"model": self.model, "version": version.version, "value": value}
        return (None if value is None else value * self.factor + self.offset), told


def production(model: str) -> ProductionValue:
    """As a threshold of `metrics_above` and `metrics_below`: the metric of the version of `model` in production.

    `metrics_above(r2=production("flights") - 0.01)`: at most 0.01 worse. `metrics_below(mae=production("flights") *
    1.05)`: at most 5 % more. While no version is in production, it holds; the evidence says so.
    """
    return ProductionValue(model)
