"""The values that a trigger gives to parameters are held to the pipeline's types when it loads."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, model_validator

from stages import InvalidPipeline, Pipeline, stage
from triggers import Manual


class Counted(BaseModel):
    """Of two fields, one that every run must be given."""

    month: int
    trees: int = 5


class Fussy(Counted):
    """What it checks first counts on a field being there."""

    @model_validator(mode="before")
    @classmethod
    def has_month(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {**given, "month": given["month"]}


@stage
def counts(params: Counted) -> int:
    return params.month


@stage
def fusses(params: Fussy) -> int:
    return params.month


def test_a_value_of_another_type_is_refused() -> None:
    told = r"trigger 'manual': params trees: Input should be a valid integer.*got 'many'"
    with pytest.raises(InvalidPipeline, match=told):
        Pipeline("counted", [counts], on=[Manual(params={"month": "data.month", "trees": {"value": "many"}})])


@pytest.mark.parametrize("declared", [counts, fusses])
def test_a_value_that_will_do_is_taken_without_the_others(declared: Any) -> None:
    made = Pipeline("counted", [declared], on=[Manual(params={"trees": {"value": 7}})])
    assert made.on[0].params == {"trees": {"value": 7}}
