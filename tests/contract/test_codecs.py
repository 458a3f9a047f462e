"""Every codec keeps the same promises for every kind of value it takes."""

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.codecs.base import Scratch, codec_for, codecs, decode, encode, in_memory


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: float | None = None


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    when: datetime
    point: Point
    colour: Colour = Colour.RED
    renamed: int = Field(3, alias="otherName")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def sunny(self) -> bool:
        return True


class Bare(BaseModel):
    values: dict[str, list[int]]


WHEN = datetime(2013, 1, 2, 3, 4, 5, 678, UTC)
FRAME = {"n": [1, None, 3], "text": ["a", "é", None], "at": [WHEN, None, WHEN], "list": [[1.5], [], None]}
X = np.random.default_rng(0).normal(size=(200, 3))


def fitted(kind: Callable[..., Any], **settings: Any) -> Any:
    return make_pipeline(StandardScaler(), kind(random_state=0, **settings)).fit(X, X[:, 0])


PLAIN: list[Any] = [None, True, -5, 1.5, "text \x00 é", [], {"b": [1, {"a": None}], "a": 2}, "", 2**63 - 1]
ANNOTATED: list[tuple[Any, Any]] = [
    (Model(when=WHEN, point=Point(1, 2), otherName=4), Model),
    ([Bare(values={"a": [1]})], list[Bare]),
    (Point(0.1), Point),
    ({"a": Point(0.1)}, dict[str, Point]),
    ((1, "a"), tuple[int, str]),
    ({3, 1, 2}, set[int]),
    (date(2013, 1, 2), date),
    (WHEN, datetime),
    (timedelta(days=1, seconds=2), timedelta),
    (Decimal("1.10"), Decimal),
    (UUID(int=7), UUID),
    (Colour.RED, Colour),
    (3, float),
    (None, int | None),
]
VALUES: list[Callable[[], Any]] = [
    lambda: b"\x00\xff",
    lambda: b"",
    lambda: pl.DataFrame(FRAME),
    lambda: pl.DataFrame({"c": pl.Series(["x", "y", "x"], dtype=pl.Categorical), "d": [timedelta(1)] * 3}),
    lambda: pl.DataFrame(schema={"a": pl.Int8}),
    lambda: pa.table({"a": [1, 2], "s": [{"x": 1}, {"x": None}]}),
    lambda: np.arange(12, dtype=np.float32).reshape(3, 4),
    lambda: np.array(["2013-01-01"], dtype="datetime64[s]"),
    lambda: fitted(HistGradientBoostingRegressor, max_iter=5),
    lambda: fitted(GradientBoostingRegressor, n_estimators=3),
]


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as folder:
        yield folder


def same(one: Any, other: Any) -> bool:
    if isinstance(one, pl.DataFrame):
        return one.equals(other) and one.schema == other.schema
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if hasattr(one, "predict"):
        return np.array_equal(one.predict(X), other.predict(X))
    return bool(one == other)


def test_every_codec_is_tried_here() -> None:
    tried = {codec_for(type(value())) for value in VALUES} | {codec_for(dict), codec_for(Path)}
    assert tried == set(codecs().values())


@pytest.mark.parametrize("make", VALUES)
def test_a_value_comes_back_as_it_was(make: Callable[[], Any], scratch: Scratch) -> None:
    value = make()
    label, payload = encode(value, scratch)
    again = decode(label, payload, None, scratch)
    assert type(again) is type(value)
    assert same(value, again)


@pytest.mark.parametrize("make", VALUES)
def test_equal_values_have_equal_bytes(make: Callable[[], Any], scratch: Scratch) -> None:
    one, other = encode(make(), scratch), encode(make(), scratch)
    assert one == other


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_data_comes_back_as_it_was(value: Any, scratch: Scratch) -> None:
    label, payload = encode(value, scratch)
    assert decode(label, payload, None, scratch) == value


@pytest.mark.parametrize(("value", "wanted"), ANNOTATED, ids=lambda one: str(one)[:40])
def test_data_comes_back_in_the_type_its_taker_annotates(value: Any, wanted: Any, scratch: Scratch) -> None:
    label, payload = encode(value, scratch)
    again = decode(label, payload, wanted, scratch)
    assert again == value
    assert type(again) is (float if wanted is float else type(value))


def test_what_is_read_back_is_nobody_elses(scratch: Scratch) -> None:
    label, payload = encode({"a": []}, scratch)
    decode(label, payload, None, scratch)["a"].append("mine")
    assert decode(label, payload, None, scratch) == {"a": []}


def test_a_taker_may_ask_for_the_other_library(scratch: Scratch) -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    made_by_polars = encode(frame, scratch)
    assert decode(*made_by_polars, pa.Table, scratch).to_pydict() == {"a": [1, 2]}
    assert decode(*made_by_polars, pl.LazyFrame, scratch).collect().equals(frame)
    made_by_arrow = encode(frame.to_arrow(), scratch)
    assert decode(*made_by_arrow, pl.DataFrame | None, scratch).equals(frame)


def test_a_file_comes_back_with_its_name_and_content(tmp_path: Path, scratch: Scratch) -> None:
    file = tmp_path / "month: 01.parquet"
    file.write_bytes(b"content")
    label, payload = encode(file, scratch)
    copy = decode(label, in_memory(payload), Path, scratch)
    assert (copy.name, copy.read_bytes()) == (file.name, b"content")
    assert copy != file


def test_a_folder_comes_back_whole_and_its_bytes_do_not_tell_when_it_was_made(tmp_path: Path, scratch: Scratch) -> None:
    packed = []
    for place, seconds in (("one", 1), ("two", 2_000_000_000)):
        folder = tmp_path / place / "model"
        (folder / "inner" / "empty").mkdir(parents=True)
        (folder / "inner" / "weights.bin").write_bytes(b"w" * 1000)
        (folder / "link").symlink_to("inner/weights.bin")
        os.utime(folder / "inner" / "weights.bin", (seconds, seconds))
        label, payload = encode(folder, scratch)
        packed.append((label, in_memory(payload)))
    assert packed[0] == packed[1]
    copy = decode(*packed[0], None, scratch)
    assert copy.name == "model"
    assert sorted(str(path.relative_to(copy)) for path in copy.rglob("*")) == [
        "inner",
        "inner/empty",
        "inner/weights.bin",
        "link",
    ]
    assert (copy / "link").read_bytes() == b"w" * 1000
