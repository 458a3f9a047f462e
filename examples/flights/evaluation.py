"""Is this model good enough to be shown to a person? Measured on days it has not seen."""

from __future__ import annotations

import polars as pl

from examples.flights.features import LABEL, flown
from examples.flights.model import FlightParams, Model, fit, predicted_delay
from stages.canonical.evaluate import (
    Check,
    EvaluationReport,
    Slice,
    at_least,
    at_most,
    regression_metrics,
    regression_slices,
)
from stages.canonical.train import artifact_digest, time_holdout

MIN_SLICE_ROWS = 100


def split(features: pl.DataFrame, params: FlightParams) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The flights to train on and the last days, held out."""
    return time_holdout(features, at="time_hour", days=params.holdout_days, gap_h=params.label_gap_h)


def validation_metrics(features: pl.DataFrame, params: FlightParams) -> dict[str, float]:
    """The score on the last days before the hold-out, of a model trained on what was known before these."""
    days, gap_h = params.validation_days, params.label_gap_h
    past, recent = time_holdout(features, at="time_hour", days=days, gap_h=gap_h)
    known = flown(recent)
    return regression_metrics(known[LABEL], predicted_delay(fit(past, params), known))


def evaluate_model(model: Model, features: pl.DataFrame, params: FlightParams) -> EvaluationReport:
    """Score the hold-out against two simple rules, by carrier and by origin, and train once more to compare."""
    seen, held_out = split(features, params)
    known = flown(held_out)
    known = known.with_columns(predicted_delay(model, known).alias("predicted"))
    metrics = regression_metrics(known[LABEL], known["predicted"])
    metrics |= _rules(flown(seen), known)
    metrics |= {"rows": known.height, "unlabelled_share": 1 - known.height / held_out.height}
    slices = [
        one
        for column in ("carrier", "origin")
        for one in regression_slices(known, column, truth=LABEL, predicted="predicted", min_rows=MIN_SLICE_ROWS)
    ]
    same = artifact_digest(fit(seen, params)) == artifact_digest(model)
    return EvaluationReport(metrics=metrics, slices=slices, checks=_checks(metrics, slices, same))


def _rules(seen: pl.DataFrame, known: pl.DataFrame) -> dict[str, float]:
    """What two rules of thumb would have scored: every flight the usual delay; and as late as it left."""
    usual = pl.select(pl.repeat(seen[LABEL].median(), known.height, dtype=pl.Float64)).to_series()
    as_it_left = known["dep_delay"] + (seen[LABEL] - seen["dep_delay"]).median()
    return {
        "mae_usual_delay": regression_metrics(known[LABEL], usual)["mae"],
        "mae_as_it_left": regression_metrics(known[LABEL], as_it_left)["mae"],
    }


def _checks(metrics: dict[str, float], slices: list[Slice], same: bool) -> list[Check]:
    mae = metrics["mae"]
    worst = max((one.metrics["mae"] for one in slices), default=mae)
    return [
        at_most(0.8, mae / metrics["mae_usual_delay"], "error against always saying the usual delay", "primary"),
        at_least(0.5, metrics["r2"], "r2", "secondary"),
        at_most(1.05, mae / metrics["mae_as_it_left"], "error against saying: as late as it left", "guardrail"),
        at_most(2.0, worst / mae, "error of the worst carrier or origin against all", "guardrail"),
        at_most(8.0, abs(metrics["bias"]), "minutes off on average", "guardrail"),
        at_most(0.1, metrics["unlabelled_share"], "share of flights without a known delay", "guardrail"),
        at_least(1.0, float(same), "training twice gives the same model", "reproducibility"),
    ]
