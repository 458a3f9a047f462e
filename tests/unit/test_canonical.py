"""The reusable parts of the six canonical stages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from stages import Permanent, Transient
from stages.canonical.evaluate import (
    EvaluationReport,
    at_least,
    at_most,
    regression_metrics,
    regression_slices,
)
from stages.canonical.features import drift, profile
from stages.canonical.ingest import data_digest, landed_file, newest_files, read_parquet, require_rows, typed
from stages.canonical.train import artifact_digest, time_holdout

START = datetime(2013, 1, 1, tzinfo=UTC)


def hours(count: int) -> pl.DataFrame:
    return pl.DataFrame({"at": [START + timedelta(hours=hour) for hour in range(count)], "hour": range(count)})


def test_a_named_file_must_lie_where_files_land(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "a.parquet").write_bytes(b"")
    (tmp_path / "secret").write_bytes(b"")
    (landing / "link").symlink_to(tmp_path / "secret")
    assert landed_file(str(landing / "a.parquet"), landing) == (landing / "a.parquet").resolve()
    for path in (landing / ".." / "secret", landing / "link", Path("/etc/passwd")):
        with pytest.raises(Permanent, match="outside"):
            landed_file(str(path), landing)
    with pytest.raises(Transient, match=r"b\.parquet"):
        landed_file(str(landing / "b.parquet"), landing)


def test_the_newest_files_are_told_by_name_and_each_name_counts_once(tmp_path: Path) -> None:
    for path in ("x/2.p", "y/1.p", "y/3.p", "x/3.p"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    assert [path.name for path in newest_files(tmp_path, "**/*.p", 2)] == ["2.p", "3.p"]
    with pytest.raises(Transient, match="nothing has landed"):
        newest_files(tmp_path, "*.csv", 2)


def test_a_broken_file_is_told_by_its_name(tmp_path: Path) -> None:
    garbage, narrow = tmp_path / "garbage.parquet", tmp_path / "narrow.parquet"
    garbage.write_bytes(b"PAR1 but not really")
    pl.DataFrame({"a": [1]}).write_parquet(narrow)
    with pytest.raises(Permanent, match=r"garbage\.parquet: not a Parquet file"):
        read_parquet(garbage, {"a": pl.Int32})
    with pytest.raises(Permanent, match=r"narrow\.parquet: missing columns: b; there are: a"):
        read_parquet(narrow, {"a": pl.Int32, "b": pl.Int32})


def test_columns_take_the_types_asked_for_or_are_refused() -> None:
    frame = pl.DataFrame({"b": [1, None], "a": ["x", "y"], "c": [0, 0]})
    assert typed(frame, {"a": pl.String, "b": pl.Int32}).schema == {"a": pl.String, "b": pl.Int32}
    with pytest.raises(Permanent, match="not of its column"):
        typed(frame, {"a": pl.Int32})
    told = pl.DataFrame({"at": ["2013-01-01T00:00:00Z"]})
    assert typed(told, {"at": pl.Datetime("us", "UTC")}).item() == START
    with pytest.raises(Permanent, match="yesterday"):
        typed(pl.DataFrame({"at": ["2013-01-01T00:00:00Z", "yesterday"]}), {"at": pl.Datetime("us", "UTC")})
    with pytest.raises(Permanent, match="2 rows where at least 3"):
        require_rows(frame, 3, "a frame")


def test_equal_data_has_an_equal_digest_however_it_is_held() -> None:
    whole = pl.DataFrame({"a": [1, 2, None], "b": ["x", "", None]})
    digest = data_digest(whole)
    in_chunks = pl.concat([whole[:1], whole[1:]], rechunk=False)
    filtered = pl.concat([whole, pl.DataFrame({"a": [9], "b": ["z"]})]).filter(
        pl.col("a").is_null() | (pl.col("a") < 9)
    )
    assert data_digest(in_chunks) == data_digest(filtered) == digest
    others = (
        whole.with_columns(pl.col("a").cast(pl.Int32)),
        whole.rename({"a": "c"}),
        whole.with_columns(pl.col("b").fill_null("")),
        whole.reverse(),
    )
    assert digest not in {data_digest(other) for other in others}


def test_the_hold_out_is_the_last_days_and_nothing_just_before_it_is_trained_on() -> None:
    before, held_out = time_holdout(hours(10 * 24), at="at", days=2, gap_h=6)
    assert held_out["hour"].to_list() == list(range(7 * 24 + 23, 10 * 24))
    assert before["hour"].max() == 7 * 24 + 23 - 6 - 1
    with pytest.raises(Permanent, match="do not reach back"):
        time_holdout(hours(24), at="at", days=2)
    with pytest.raises(Permanent, match="no instant"):
        time_holdout(hours(0), at="at", days=2)


def test_an_artifact_digest_is_that_of_its_content() -> None:
    assert artifact_digest({"a": 1, "b": 2}) == artifact_digest({"b": 2, "a": 1}) != artifact_digest({"a": 1})


def test_regression_metrics_are_those_of_the_textbook() -> None:
    truth, predicted = pl.Series([1.0, 2.0, 3.0, 6.0]), pl.Series([2.0, 2.0, 2.0, 6.0])
    found = regression_metrics(truth, predicted)
    assert found == pytest.approx({"mae": 0.5, "rmse": 0.5**0.5, "bias": 0.0, "p90": 1.0, "r2": 1 - 2 / 14})
    constant = pl.Series([5.0, 5.0])
    assert regression_metrics(constant, constant)["r2"] == 1
    assert regression_metrics(constant, pl.Series([5.0, 6.0]))["r2"] == 0


def test_metrics_of_nothing_or_of_a_missing_label_are_refused() -> None:
    for truth in (pl.Series([], dtype=pl.Float64), pl.Series([1.0, None])):
        with pytest.raises(Permanent, match="nothing to measure"):
            regression_metrics(truth, truth)


def test_slices_come_in_order_and_small_ones_are_left_out() -> None:
    frame = pl.DataFrame({"who": ["b", "a", "b", "c", "a"], "truth": [1, 2, 3, 4, 5], "said": [1, 2, 3, 4, 6]})
    slices = regression_slices(frame, "who", truth="truth", predicted="said", min_rows=2)
    assert [(one.value, one.rows, one.metrics["mae"]) for one in slices] == [("a", 2, 0.5), ("b", 2, 0.0)]


def test_a_report_passes_when_every_check_does() -> None:
    good, bad = at_least(0.5, 0.5, "r2", "primary"), at_most(1.0, 1.1, "error", "guardrail")
    assert good.passed
    assert not bad.passed
    assert not at_most(1.0, float("nan"), "error", "guardrail").passed
    passed = EvaluationReport(metrics={}, slices=[], checks=[good])
    failed = EvaluationReport(metrics={}, slices=[], checks=[good, bad])
    assert (passed.passed, failed.passed) == (True, False)
    assert EvaluationReport.model_validate_json(failed.model_dump_json()) == failed


def test_drift_is_told_in_standard_deviations_of_the_training_data() -> None:
    trained_on = profile(pl.DataFrame({"x": [0, 2, None], "y": [7, 7, 7], "z": [1.0, 3.0, 5.0]}), ["x", "y", "z"])
    assert trained_on == {"x.mean": 1, "x.std": pytest.approx(2**0.5), "z.mean": 3, "z.std": 2}
    now = pl.DataFrame({"x": [None, None], "y": [9, 9], "z": [7.0, None]}, schema_overrides={"x": pl.Int64})
    assert drift(now, trained_on) == {"z": 2.0}
