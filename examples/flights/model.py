"""The model: gradient boosting on the minutes a flight makes up or loses after it has left."""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from examples.flights.features import CATEGORIES, LABEL, flown, matrix
from stages.canonical.train import one_thread

# A scikit-learn HistGradientBoostingRegressor. Not imported here: scikit-learn takes seconds that a start can save.
Model = Any


class FlightParams(BaseModel):
    """What a run can be told; the defaults were chosen over all twelve months, not on one hold-out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    landing: str = Field("landing", description="folder below which month files land")
    months: int = Field(3, ge=1, le=12, description="newest months to train on when the event names no file")
    holdout_days: int = Field(5, ge=1, description="last days, kept for evaluation")
    validation_days: int = Field(3, ge=1, description="days before those, for the score the first gate looks at")
    label_gap_h: int = Field(12, ge=0, description="hours before a hold-out whose flights had not landed yet")
    learning_rate: float = Field(0.05, gt=0, le=1)
    iterations: int = Field(60, ge=1, le=2000)
    leaves: int = Field(8, ge=2, le=255)
    leaf_rows: int = Field(1000, ge=1)
    seed: int = 2013


def fit(features: pl.DataFrame, params: FlightParams) -> Model:
    """Train on the flights that have arrived. The same rows and parameters give the same model, bit for bit."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    known = flown(features)
    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        learning_rate=params.learning_rate,
        max_iter=params.iterations,
        max_leaf_nodes=params.leaves,
        min_samples_leaf=params.leaf_rows,
        categorical_features=list(range(CATEGORIES)),
        early_stopping=False,
        random_state=params.seed,
    )
    with one_thread():
        return model.fit(matrix(known), (known[LABEL] - known["dep_delay"]).to_numpy())


def predicted_delay(model: Model, features: pl.DataFrame) -> pl.Series:
    """How late each flight will arrive, in minutes: as late as it left, plus what the model expects on the way."""
    with one_thread():
        on_the_way = pl.Series("predicted", model.predict(matrix(features)))
    return features["dep_delay"].cast(pl.Float64) + on_the_way
