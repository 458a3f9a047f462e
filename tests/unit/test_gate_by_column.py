"""What the columns of a frame tell of its rows is what each row would tell, or it is left to the rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stages.gates.by_column import fits


class Plain(BaseModel):
    """Every field for itself."""

    n: int = Field(ge=0, lt=5)
    name: str | None = Field(max_length=2)
    x: float = Field(gt=-1.0)
    on: date
    kind: Literal["a", "b"] = "a"


COLUMNS: dict[str, Any] = {"n": pl.Int64, "name": pl.String, "x": pl.Float64, "on": pl.Date, "kind": pl.String}
ROWS = some.lists(
    some.fixed_dictionaries(
        {
            "n": some.sampled_from([0, 1, 4, 5, -1, None]),
            "name": some.sampled_from(["", "ab", "abc", None]),
            "x": some.sampled_from([0.0, -0.0, float("nan"), float("inf"), -1.0, -0.5, None]),
            "on": some.sampled_from([date(2013, 1, 1), None]),
            "kind": some.sampled_from(["a", "b", "c", None]),
        }
    ),
    max_size=4,
)


def by_rows(frame: pl.DataFrame, model: type[BaseModel]) -> bool:
    try:
        TypeAdapter(list[model]).validate_python(frame.to_dicts())  # type: ignore[valid-type]
    except ValidationError:
        return False
    return True


@given(rows=ROWS)
def test_columns_tell_what_the_rows_would(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=COLUMNS)
    assert fits(frame, Plain) is by_rows(frame, Plain)


def test_a_column_that_may_be_missing_and_one_nobody_asked_for_make_no_difference() -> None:
    frame = pl.DataFrame({"n": [1], "name": ["a"], "x": [0.0], "on": [date(2013, 1, 1)], "more": [[1]]})
    assert fits(frame, Plain)
    assert by_rows(frame, Plain)


def test_every_one_of_many_different_values_is_looked_at() -> None:
    class Counted(BaseModel):
        n: int = Field(lt=20_000)

    assert fits(pl.DataFrame({"n": range(20_000)}), Counted)
    assert not fits(pl.DataFrame({"n": range(20_001)}), Counted)


class TwoTogether(BaseModel):
    low: int
    high: int

    @model_validator(mode="after")
    def in_order(self) -> TwoTogether:
        if self.low > self.high:
            raise ValueError("the wrong way round")
        return self


class Before(BaseModel):
    low: int

    @model_validator(mode="before")
    @classmethod
    def complete(cls, row: Any) -> Any:
        return row


class OneAfterTheOther(BaseModel):
    low: int
    high: int

    @field_validator("high")
    @classmethod
    def above(cls, high: int, info: ValidationInfo) -> int:
        if high < info.data["low"]:
            raise ValueError("too low")
        return high


class Itself(BaseModel):
    low: Annotated[int, AfterValidator(abs)]


class Renamed(BaseModel):
    low: int = Field(default=1, alias="high")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    low: int


class Checked(BaseModel):
    model_config = ConfigDict(validate_default=True)

    low: int
    missing: int = Field(default=0, gt=0)


class CheckedAlone(BaseModel):
    low: int
    missing: int = Field(default=0, gt=0, validate_default=True)


class Finished(BaseModel):
    low: int

    def model_post_init(self, context: Any) -> None:
        """It may refuse a row."""
        raise ValueError("never")


class Nested(BaseModel):
    low: Itself | int


@pytest.mark.parametrize(
    "model",
    [TwoTogether, Before, OneAfterTheOther, Itself, Renamed, Closed, Checked, CheckedAlone, Finished, Nested],
)
def test_what_is_no_matter_of_one_value_is_left_to_the_rows(model: type[BaseModel]) -> None:
    assert not fits(pl.DataFrame({"low": [1, 2], "high": [2, 3]}), model)


@pytest.mark.parametrize(
    "values", [[[1]], [{"a": 1}], pl.Series([object()], dtype=pl.Object)], ids=["list", "struct", "object"]
)
def test_columns_of_more_than_values_are_left_to_the_rows(values: Any) -> None:
    class Anything(BaseModel):
        n: Any

    assert not fits(pl.DataFrame({"n": values}), Anything)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (datetime, datetime(2013, 1, 1, tzinfo=UTC), "soon"),
        (Annotated[Decimal, Field(max_digits=3)], Decimal("1.25"), Decimal("12.345")),
        (Annotated[bytes, Field(max_length=1)], b"a", b"ab"),
        (bool, True, "perhaps"),
    ],
)
def test_each_kind_of_value_is_checked(kind: Any, good: Any, bad: Any) -> None:
    model: type[BaseModel] = type("Of", (BaseModel,), {"__annotations__": {"n": kind}, "__module__": __name__})
    assert fits(pl.DataFrame({"n": [good, good]}), model)
    assert not fits(pl.DataFrame({"n": [bad, bad]}), model)
