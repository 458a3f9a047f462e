"""The flights example on real flights: what it reads, what it may know, and that it can be done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from pydantic import ValidationError

from examples.flights.data import FLIGHTS, WEATHER, hourly_weather, miles_between, month_of_flights
from examples.flights.evaluation import evaluate_model, split, validation_metrics
from examples.flights.features import LABEL, flight_features, flown
from examples.flights.feed import records_of, write_month
from examples.flights.landing import live_flights, month_files, read_months
from examples.flights.model import FlightParams, Model, fit, predicted_delay
from examples.flights.schema import FlightSchema
from examples.flights.serving import ASKED, features_of, predict
from stages import Event, Permanent, Record, Records, Transient
from stages.canonical.evaluate import EvaluationReport
from stages.canonical.train import artifact_digest
from stages.codecs.base import Scratch, decode, encode
from triggers.event import utc_now

PARAMS = FlightParams()
KNOWN_AFTERWARDS = ("dep_time", "arr_time", "air_time", "arr_delay")


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("landing")
    write_month(1, folder / "flights")
    return folder


@pytest.fixture(scope="module")
def january(landing: Path) -> pl.DataFrame:
    return read_months([landing / "flights" / "flights-2013-01.parquet"])


@pytest.fixture(scope="module")
def features(january: pl.DataFrame) -> pl.DataFrame:
    return flight_features(january, hourly_weather())


@pytest.fixture(scope="module")
def model(features: pl.DataFrame) -> Model:
    return fit(split(features, PARAMS)[0], PARAMS)


@pytest.fixture(scope="module")
def report(model: Model, features: pl.DataFrame) -> EvaluationReport:
    return evaluate_model(model, features, PARAMS)


def event(data: Any) -> Event:
    return Event(source="tests", id="1", type="t", time=utc_now(), data=data)


def test_january_is_whole_and_keeps_the_flights_that_never_left(january: pl.DataFrame) -> None:
    assert january.height == 27_004
    assert january.schema == FLIGHTS
    assert january["dep_delay"].null_count() == 521
    assert january[LABEL].null_count() == 606
    FlightSchema.model_validate(january.row(0, named=True))


def test_a_month_is_written_once_and_leaves_nothing_else(landing: Path) -> None:
    path = landing / "flights" / "flights-2013-01.parquet"
    written = path.stat().st_mtime_ns
    assert write_month(1, landing / "flights") == path.resolve()
    assert path.stat().st_mtime_ns == written
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_event_names_its_file_and_one_without_a_file_means_the_newest(landing: Path) -> None:
    path = (landing / "flights" / "flights-2013-01.parquet").resolve()
    for data in ({"path": str(path)}, None, {"ref": "refs/heads/main"}, {"path": None}):
        assert [file.resolve() for file in month_files(event(data), landing, 3)] == [path]
    with pytest.raises(Permanent, match="outside"):
        month_files(event({"path": "/etc/passwd"}), landing, 3)
    with pytest.raises(Transient, match="landed"):
        month_files(event({"path": str(path.with_name("flights-2013-02.parquet"))}), landing, 3)


def test_half_a_month_is_refused(landing: Path, january: pl.DataFrame, tmp_path: Path) -> None:
    january.head(5000).write_parquet(tmp_path / "half.parquet")
    with pytest.raises(Permanent, match=r"half\.parquet: 5000 rows"):
        read_months([tmp_path / "half.parquet"])


def test_the_order_of_the_rows_in_a_file_changes_nothing(january: pl.DataFrame, tmp_path: Path) -> None:
    january.sample(fraction=1, shuffle=True, seed=1).write_parquet(tmp_path / "shuffled.parquet")
    assert read_months([tmp_path / "shuffled.parquet"]).equals(january)


def test_features_know_nothing_that_is_only_known_after_take_off(january: pl.DataFrame) -> None:
    blind = january.with_columns(pl.lit(None, dtype=pl.Int32).alias(name) for name in KNOWN_AFTERWARDS)
    told = flight_features(january, hourly_weather())
    assert flight_features(blind, hourly_weather()).drop(LABEL).equals(told.drop(LABEL))


def test_a_flight_has_the_weather_of_its_own_airport_and_hour(january: pl.DataFrame, features: pl.DataFrame) -> None:
    assert features.height == january.height
    flight = january.filter(pl.col("carrier") == "UA", pl.col("flight") == 1545).row(0, named=True)
    at = (pl.col("origin") == "EWR") & (pl.col("time_hour") == flight["time_hour"])
    observed = hourly_weather().filter(at).select(WEATHER)
    assert observed.height == 1
    assert features.filter(at).select(WEATHER).unique().equals(observed)


def test_a_prediction_sees_the_features_that_training_saw(january: pl.DataFrame, features: pl.DataFrame) -> None:
    left = january.with_columns(features).drop_nulls("dep_delay").gather_every(50)
    rows = left.select(january.columns).with_columns(pl.col("time_hour").dt.to_string("iso:strict")).to_dicts()
    for asked in (rows, [{name: value for name, value in row.items() if name != "time_hour"} for row in rows]):
        found = features_of(ASKED.validate_python(asked)).drop(LABEL)
        wanted = left.select(found.columns)
        assert found.cast(dict(wanted.schema)).equals(wanted)
    assert len(rows) > 500


def test_the_last_hour_of_summer_time_is_not_mistaken(january: pl.DataFrame) -> None:
    [flight] = ASKED.validate_python([{**january.row(0, named=True), "time_hour": None, "month": 7, "hour": 20}])
    assert flight.departure().isoformat() == "2013-07-02T00:15:00+00:00"


def test_training_twice_gives_the_same_model_and_other_parameters_another(features: pl.DataFrame, model: Model) -> None:
    seen, _ = split(features, PARAMS)
    assert artifact_digest(fit(seen, PARAMS)) == artifact_digest(model)
    fewer = PARAMS.model_copy(update={"iterations": PARAMS.iterations - 1})
    assert artifact_digest(fit(seen, fewer)) != artifact_digest(model)


def test_a_stored_model_answers_as_the_one_it_was(features: pl.DataFrame, model: Model) -> None:
    with Scratch() as scratch:
        label, payload = encode(model, scratch)
        again = decode(label, payload, None, scratch)
    left = features.drop_nulls("dep_delay")
    assert predicted_delay(again, left).equals(predicted_delay(model, left))
    assert artifact_digest(again) == artifact_digest(model)


def test_flights_whose_arrival_is_not_known_teach_nothing(features: pl.DataFrame, model: Model) -> None:
    seen, _ = split(features, PARAMS)
    assert flown(seen).height < seen.height
    assert artifact_digest(fit(flown(seen), PARAMS)) == artifact_digest(model)


def test_a_model_is_trained_on_nothing_that_landed_after_the_hold_out_began(features: pl.DataFrame) -> None:
    seen, held_out = split(features, PARAMS)
    gap = held_out["time_hour"].min() - seen["time_hour"].max()
    assert gap.total_seconds() > 3600 * PARAMS.label_gap_h
    assert seen.height + held_out.height < features.height


def test_the_model_of_january_passes_every_check(report: EvaluationReport) -> None:
    assert [check.name for check in report.checks if not check.passed] == []
    assert report.passed
    assert report.metrics["r2"] > 0.8
    assert report.metrics["mae"] < report.metrics["mae_as_it_left"] < report.metrics["mae_usual_delay"]
    assert {one.column for one in report.slices} == {"carrier", "origin"}
    assert sum(one.rows for one in report.slices if one.column == "origin") == report.metrics["rows"]


def test_the_score_for_the_first_gate_comes_from_days_before_the_hold_out(features: pl.DataFrame) -> None:
    seen, _ = split(features, PARAMS)
    assert validation_metrics(seen, PARAMS)["r2"] > 0.5
    worse = seen.with_columns(pl.col(LABEL).reverse())
    assert validation_metrics(worse, PARAMS)["r2"] < 0.5


def test_a_model_that_is_not_the_one_trained_here_is_found_out(features: pl.DataFrame) -> None:
    seen, _ = split(features, PARAMS)
    odd = fit(seen.with_columns(pl.col(LABEL).reverse()), PARAMS)
    failed = {check.kind for check in evaluate_model(odd, features, PARAMS).checks if not check.passed}
    assert failed >= {"primary", "secondary", "guardrail", "reproducibility"}


def test_the_model_answers_one_flight_or_many(january: pl.DataFrame, features: pl.DataFrame, model: Model) -> None:
    left = january.drop_nulls("dep_delay").head(3)
    wanted = predicted_delay(model, flight_features(left, hourly_weather())).round(1).to_list()
    many = predict(model, left.to_dicts())
    assert [one["arr_delay"] for one in many["predictions"]] == wanted
    assert predict(model, left.row(0, named=True)) == {"predictions": many["predictions"][:1]}
    assert predict(model, []) == {"predictions": []}


def test_weather_that_is_told_counts_instead_of_what_was_observed() -> None:
    flight = {"carrier": "UA", "origin": "EWR", "distance": 1400, "dep_delay": 2, "month": 1, "day": 2, "hour": 9}
    stormy = {**flight, "weather": {"wind_speed": 50.0}}
    found = features_of(ASKED.validate_python([flight, stormy]))
    assert found["wind_speed"].to_list() == [hourly_weather().filter(_at(found))["wind_speed"].item(), 50.0]
    assert found["temp"].to_list()[1] is None
    unheard_of = features_of(ASKED.validate_python([{**flight, "carrier": "ZZ", "year": 2026}]))
    assert unheard_of["temp"].to_list() == [None]


def _at(found: pl.DataFrame) -> pl.Expr:
    return (pl.col("origin") == "EWR") & (pl.col("time_hour") == found["time_hour"][0])


def test_an_unknown_carrier_and_hour_are_still_answered(model: Model) -> None:
    flight = {"carrier": "ZZ", "origin": "XXX", "distance": 900, "dep_delay": 30, "time_hour": "2026-07-01T12:30:00Z"}
    [answer] = predict(model, flight)["predictions"]
    assert 0 < answer["arr_delay"] < 60


def test_a_distance_left_out_is_that_between_the_airports(january: pl.DataFrame) -> None:
    routes = january.unique(["origin", "dest"]).filter(pl.col("dest").is_in(["BQN", "SJU", "STT", "PSE"]).not_())
    told = [(row["distance"], miles_between(row["origin"], row["dest"])) for row in routes.iter_rows(named=True)]
    assert max(abs(told - (found or 0)) / told for told, found in told) < 0.03
    assert len(told) > 150
    flight = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "dep_delay": 2, "month": 1, "day": 1, "hour": 5}
    assert features_of(ASKED.validate_python([flight]))["distance"].item() == 1398


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"day": 31}, "day is out of range"),
        ({"hour": None}, "say when it is to leave"),
        ({"time_hour": "0001-01-01T00:00:00+14:00"}, "in the year 1"),
        ({"time_hour": "2013-02-01T10:00:00"}, "timezone"),
        ({"distance": None}, "no distance is known from EWR to None"),
        ({"distance": None, "dest": "XXX"}, "no distance is known from EWR to XXX"),
        ({"distance": 10**12}, "less than or equal"),
        ({"dep_delay": "late"}, "valid number"),
        ({"dep_delay": float("nan")}, "dep_delay"),
        ({"weather": {"rain": 1}}, "rain"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(change: dict[str, Any], said: str) -> None:
    flight = {"carrier": "UA", "origin": "EWR", "distance": 1400, "dep_delay": 2, "month": 2, "day": 1, "hour": 5}
    predict_nothing: Any = None
    with pytest.raises(ValidationError, match=said):
        predict(predict_nothing, {**flight, **change})


def test_live_records_become_the_flights_they_were(january: pl.DataFrame) -> None:
    values = records_of(january.head(200))
    records = Records([Record("flights.live", 0, at, 0, None, value) for at, value in enumerate(values)])
    assert live_flights(records.frame()).equals(january.head(200))


def test_a_live_record_without_a_column_or_with_nonsense_is_refused(january: pl.DataFrame) -> None:
    row = orjson.loads(records_of(january.head(1))[0])
    for wrong, said in (({"origin": ...}, "missing columns: origin"), ({"time_hour": "yesterday"}, "time_hour")):
        value = orjson.dumps({name: at for name, at in (row | wrong).items() if at is not ...})
        with pytest.raises(Permanent, match=said):
            live_flights(Records([Record("flights.live", 0, 0, 0, None, value)]).frame())


def test_months_come_from_the_package_without_importing_it() -> None:
    december = month_of_flights(12)
    assert december.height == 28_135
    assert december["month"].unique().to_list() == [12]
