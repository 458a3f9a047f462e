"""A pipeline joins up by the names of its parameters, or says at once what does not, with file and line."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from stages import (
    ArtifactRef,
    Event,
    GateContext,
    InvalidParams,
    InvalidPipeline,
    Pipeline,
    Records,
    StageContext,
    stage,
)
from stages.gates import approved, fresh, row_count
from triggers.base import Trigger


class Params(BaseModel):
    month: int = Field(1, ge=1, le=12)
    carrier: str | None = Field(None, alias="airline")


class WiderParams(Params):
    trees: int = 10


class OtherParams(BaseModel):
    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, kw_only=True)
class Bell(Trigger):
    kind: ClassVar[str] = "bell"


@stage
def ingest(event: Event, params: Params) -> pl.DataFrame:
    return pl.DataFrame()


@stage(timeout_s=5)
async def train(ingest: pl.DataFrame, ctx: StageContext | None) -> dict[str, float]:
    return {}


@stage(after=["train"])
def report(ingest: Annotated[pa.Table, "any"], batch: Records, seed: int = 42) -> None:
    return None


def problems(*stages: Any, **settings: Any) -> str:
    with pytest.raises(InvalidPipeline) as caught:
        Pipeline("flights", stages, **settings)
    return str(caught.value)


def test_edges_follow_the_names_of_parameters() -> None:
    plan = Pipeline("flights", [report, train, ingest]).plan
    assert [one.name for one in plan.order] == ["ingest", "train", "report"]
    assert dict(plan.stages["train"].inputs) == {"ingest": "ingest"}
    assert plan.stages["report"].upstream == {"ingest", "train"}
    assert dict(plan.stages["report"].inputs) == {"ingest": "ingest"}
    assert plan.stages["ingest"].downstream == {"train", "report"}


def test_what_a_stage_asks_for_is_told_by_its_annotations() -> None:
    plan = Pipeline("flights", [ingest, train, report]).plan
    asked = {
        one.name: (one.takes_event, one.takes_params, one.takes_context, one.takes_records, one.is_async)
        for one in plan.order
    }
    assert asked == {
        "ingest": (True, True, False, False, False),
        "train": (False, False, True, False, True),
        "report": (False, False, False, True, False),
    }
    assert plan.stages["ingest"].params_type is Params


def test_a_taker_that_annotates_nothing_gets_what_the_maker_annotates() -> None:
    @stage
    def show(train, ingest: Any):  # type: ignore[no-untyped-def]
        return None

    wanted = [one.wanted for one in Pipeline("flights", [ingest, train, show]).plan.stages["show"].arguments]
    assert wanted == [dict[str, float], pl.DataFrame]


def test_the_plan_cannot_be_changed() -> None:
    plan = Pipeline("flights", [ingest, train]).plan
    with pytest.raises(AttributeError):
        plan.order = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        plan.stages["train"] = plan.stages["ingest"]  # type: ignore[index]


# What does not join up.


@stage
def lonely(features: pl.DataFrame) -> None:
    return None


@stage
def near(ingests: pl.DataFrame | None = None) -> None:
    return None


@stage
def hen(egg: int) -> int:
    return egg


@stage
def egg(hen: int) -> int:
    return hen


@stage
def itself(itself: int) -> int:
    return itself


@stage
def later() -> Iterator[int]:
    yield 1


@stage
async def later_still() -> AsyncIterator[int]:
    yield 1


@stage
def many(*ingest: Any, **more: Any) -> None:
    return None


@stage
def unannotated(event, params):  # type: ignore[no-untyped-def]
    return None


@stage
def dangling(ingest: NoSuchType) -> None:  # type: ignore[name-defined]  # noqa: F821
    return None


@stage(after=["trian"])
def impatient() -> None:
    return None


@stage(name="0-not a name")
def misnamed() -> None:
    return None


@stage(runner="moon", environment="absent.lock")
def astray() -> None:
    return None


@stage
def other_params(params: OtherParams) -> None:
    return None


PROBLEMS: list[tuple[list[Any], str]] = [
    ([lonely, ingest], "'lonely': no stage is called like its parameter 'features'; the stages are ingest, lonely"),
    ([near, ingest], r"parameter 'ingests' \(did you mean 'ingest'\?\)"),
    ([hen, egg], "hen -> egg -> hen|egg -> hen -> egg"),
    ([itself], "itself -> itself"),
    ([later], "'later' is a generator: return its result"),
    ([later_still], "'later_still' is a generator"),
    ([ingest, many], r"'many': parameter \*ingest.* has no name to give it by"),
    ([unannotated], "'event' is no stage: annotate it `Event`"),
    ([unannotated], "'params' is no stage: annotate it with the pipeline's params"),
    ([ingest, dangling], "'dangling': an annotation cannot be resolved .*NoSuchType"),
    ([ingest, train, impatient], r"after='trian' is no stage \(did you mean 'train'\?\)"),
    ([misnamed], "stage name '0-not a name': use letters"),
    ([astray], "no runner 'moon'; there are .*inline"),
    ([astray], "its environment 'absent.lock' is no file"),
    ([ingest, other_params], "'other_params' takes params of type OtherParams, but the pipeline's are Params"),
    ([ingest, ingest], "two stages are called 'ingest'"),
]


@pytest.mark.parametrize(("stages", "message"), PROBLEMS)
def test_what_does_not_join_up_is_told_with_file_and_line(stages: list[Any], message: str) -> None:
    told = problems(*stages)
    assert told.startswith("pipeline 'flights' does not join up:\n  ")
    told_of = [line for line in told.splitlines()[1:] if re.search(message, line)]
    assert len(told_of) == 1, told
    path, line, _ = told_of[0].strip().split(":", 2)
    assert Path(path).name == Path(__file__).name
    assert int(line) in {one.function.__code__.co_firstlineno for one in stages}


def test_all_problems_are_told_at_once() -> None:
    told = problems(lonely, later, misnamed, lambda: 1, on=["cron"], gates={("a", "b"): fresh(1)})
    assert len(told.splitlines()) == 7, told


def test_a_pipeline_has_stages() -> None:
    assert "it has no stages" in problems()


def test_a_plain_function_among_the_stages_is_told_to_be_declared() -> None:
    assert "put @stage above the function" in problems(lambda: 1)


@pytest.mark.parametrize(
    ("produced", "wanted"),
    [
        (pl.DataFrame, str),
        (pl.DataFrame, list[dict[str, Any]]),
        (str, int),
        (int, Params),
        (Path, bytes),
        (None, pl.DataFrame),
        (bytes, str),
        (list[int], dict[str, int]),
        (str | None, int),
        (Annotated[str, "x"], float),
    ],
)
def test_types_that_cannot_meet_do_not_join(produced: Any, wanted: Any) -> None:
    told = problems(*two(produced, wanted))
    assert "stage 'taker' takes 'maker' as" in told
    assert "but stage 'maker' returns" in told


@pytest.mark.parametrize(
    ("produced", "wanted"),
    [
        (pl.DataFrame, pa.Table),
        (pl.DataFrame, pl.LazyFrame),
        (int, float),
        (bool, int),
        (dict, Params),
        (Params, dict[str, Any]),
        (Params, WiderParams),
        (list[int], tuple[int, ...]),
        (Any, str),
        (str, Any),
        (object, str),
        (str | None, str),
        (int, str | int),
        (Exception, str),
        (list[int], "list[str]"),
        (pl.DataFrame, ArtifactRef),
        (int, ArtifactRef | None),
        (list[pl.DataFrame], list[ArtifactRef]),
    ],
)
def test_types_that_may_meet_join(produced: Any, wanted: Any) -> None:
    assert Pipeline("types", two(produced, wanted)).arrows == [("maker", "taker")]


def two(produced: Any, wanted: Any) -> list[Any]:
    def maker():  # type: ignore[no-untyped-def]
        return None

    def taker(maker):  # type: ignore[no-untyped-def]
        return None

    maker.__annotations__ = {"return": produced}
    taker.__annotations__ = {"maker": wanted}
    return [stage(maker), stage(taker)]


# Params.


def test_the_widest_params_model_serves_every_stage() -> None:
    @stage
    def wide(ingest: pl.DataFrame, params: WiderParams) -> None:
        return None

    wide.function.__globals__["WiderParams"] = WiderParams
    assert Pipeline("flights", [ingest, wide]).params is WiderParams
    assert Pipeline("flights", [ingest], params=WiderParams).plan.stages["ingest"].params_type is WiderParams


def test_raw_params_are_parsed_or_refused_by_field() -> None:
    pipeline = Pipeline("flights", [ingest])
    assert pipeline.parse_params({"month": "3", "airline": "UA"}) == Params(month=3, airline="UA")
    assert pipeline.parse_params(None) == Params(month=1, airline=None)
    with pytest.raises(InvalidParams, match=r"(?=.*mnth: no such parameter \(did you mean 'month'\?\))(?=.*airline: )"):
        pipeline.parse_params({"mnth": 1, "airline": 7})
    with pytest.raises(InvalidParams, match=r"month: .*less than or equal to 12 \(got 13\)"):
        pipeline.parse_params({"month": 13})


def test_a_pipeline_without_params_takes_none() -> None:
    pipeline = Pipeline("flights", [hen, stage(name="egg")(lambda: 1)])
    assert pipeline.params is None
    assert pipeline.parse_params({}) is None
    with pytest.raises(InvalidParams, match="month: no such parameter"):
        pipeline.parse_params({"month": 1})


def test_equal_params_have_equal_digests_however_they_were_given() -> None:
    pipeline = Pipeline("flights", [ingest])
    given = [pipeline.parse_params(raw) for raw in (None, {"month": 1}, {"airline": None, "month": "1"})]
    assert len({pipeline.digest_params(one) for one in given}) == 1
    assert pipeline.digest_params(pipeline.parse_params({"month": 2})) != pipeline.digest_params(given[0])


# Triggers and gates.


def test_triggers_are_told_apart_and_fill_known_params() -> None:
    told = problems(ingest, on=[Bell(), Bell(), Bell(name="b", params={"mnth": "data.month"})])
    assert "two triggers are called 'bell'" in told
    assert "trigger 'b' fills parameter 'mnth'" in told
    assert "(did you mean 'month'?)" in told


def test_gates_are_named_by_their_arrow() -> None:
    plan = Pipeline("flights", [ingest, train], gates={("ingest", "train"): approved(by="leads")}).plan
    assert [gate.name for gate in plan.gates["ingest", "train"]] == ["ingest-train"]
    assert plan.gate("ingest-train") is plan.gates["ingest", "train"][0]
    assert plan.gate("train-ingest") is None


def test_several_gates_on_one_arrow_are_told_apart_by_their_own_names() -> None:
    def loud(output: Any) -> bool:
        return True

    plan = Pipeline("flights", [ingest, train], gates={("ingest", "train"): [fresh(1), row_count(), loud]}).plan
    names = [gate.name for gate in plan.gates["ingest", "train"]]
    assert names == ["ingest-train-fresh", "ingest-train-row_count", "ingest-train-loud"]
    told = problems(ingest, train, gates={("ingest", "train"): [fresh(1), fresh(2)]})
    assert "two gates are called 'ingest-train-fresh'" in told


def test_a_gate_needs_an_arrow() -> None:
    told = problems(ingest, train, gates={("train", "ingest"): fresh(1)})
    assert "there is no such arrow; the arrows are 'ingest' -> 'train'" in told


def test_a_gate_is_a_gate_or_a_function_of_what_there_is_to_know() -> None:
    def strange(output: Any, weather: str) -> bool:
        return True

    def whole(evidence: GateContext, output: Any) -> bool:
        return True

    arrow = ("ingest", "train")
    assert "neither a gate nor a function" in problems(ingest, train, gates={arrow: True})
    assert "asks for 'weather'" in problems(ingest, train, gates={arrow: strange})
    assert "called, or a function" in problems(ingest, train, gates={arrow: fresh(1).__class__})
    assert Pipeline("flights", [ingest, train], gates={arrow: whole}).plan.gates[arrow][0].gate.needs_output


def test_a_wrapped_function_is_read_through_its_wrapper() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @stage
    @logged
    def shown(ingest: pl.DataFrame) -> None:
        return None

    assert dict(Pipeline("flights", [ingest, shown]).plan.stages["shown"].inputs) == {"ingest": "ingest"}


class Login(BaseModel):
    token: SecretStr | None = None


class WithSecrets(BaseModel):
    logins: list[Login] = []
    password: SecretStr = SecretStr("")


@stage
def logs_in(params: WithSecrets) -> int:
    return 1


def test_a_secret_that_would_not_be_found_again_is_refused() -> None:
    told = problems(logs_in)
    assert "parameter 'logins' has a secret among other things" in told
    assert "password" not in told
