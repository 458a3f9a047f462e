"""A stage's function, read: what each parameter is filled with and what comes out."""

from __future__ import annotations

import dis
import inspect
import typing
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from stages.artifacts import ArtifactRef
from stages.base import Stage, StageContext
from stages.ending import RunEnd
from stages.fitting import alternatives, may_be_none, spoken, without_none
from stages.plan import Argument, Source
from stages.problems import Problems, nearest, place_of_function
from stages.records import BATCH, Records, is_shape
from stages.subrun import SubRun
from triggers.event import Event

INJECTED: dict[Any, Source] = {
    Event: Source.EVENT,
    list[Event]: Source.EVENTS,
    Sequence[Event]: Source.EVENTS,
    StageContext: Source.CONTEXT,
    Records: Source.RECORDS,
    RunEnd: Source.ENDING,
}
_SPREAD = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
_LIKELY = {
    "event": "`Event` (from stages)",
    "events": "`list[Event]` (from stages)",
    "context": "`StageContext` (from stages)",
    "params": "with the pipeline's params, a pydantic model",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function asks for and gives. `params_type` is the model it annotates its parameters with, if any.

    A stage that may start a sub-run gives what that makes, which nobody can tell here: its `output_type` is None.
    """

    arguments: tuple[Argument, ...]
    output_type: Any
    params_type: type[BaseModel] | None


def read_signature(stage: Stage, stage_names: Collection[str], problems: Problems) -> Signature:
    """Read the function of `stage`; whatever is wrong with it goes to `problems`."""
    where = place_of_function(stage.function)
    if inspect.isgeneratorfunction(stage.function) or inspect.isasyncgenfunction(stage.function):
        problems.add(f"stage {stage.name!r} is a generator: return its result as one value", where)
    hints = _hints(stage, where, problems)
    arguments = []
    for parameter in inspect.signature(stage.function).parameters.values():
        argument = _argument(stage, parameter, hints.get(parameter.name), stage_names, problems)
        if argument is not None:
            arguments.append(argument)
    _check_map(stage, arguments, problems)
    _check_when(stage, arguments, problems)
    models = {one.wanted for one in arguments if one.source is Source.PARAMS}
    if len(models) > 1:
        problems.add(f"stage {stage.name!r} asks for {len(models)} params models: a pipeline has one", where)
    made = hints.get("return")
    return Signature(tuple(arguments), None if SubRun in alternatives(made) else made, next(iter(models), None))


def _check_map(stage: Stage, arguments: Collection[Argument], problems: Problems) -> None:
    inputs = sorted(one.parameter for one in arguments if one.source is Source.STAGE)
    if stage.map is not None and stage.map not in inputs:
        has = f"its inputs are {', '.join(inputs)}" if inputs else "it takes no other stage's output"
        near = nearest(stage.map, inputs)
        problems.add(
            f"stage {stage.name!r}: map={stage.map!r} is none of its inputs; {has}{near}",
            place_of_function(stage.function),
        )


def _check_when(stage: Stage, arguments: Collection[Argument], problems: Problems) -> None:
    if stage.when is None:
        return
    known = {one.parameter for one in arguments}
    for name in inspect.signature(stage.when).parameters:
        if name not in known:
            problems.add(
                f"stage {stage.name!r}: its `when` asks for {name!r}, which the stage does not take; it takes "
                f"{', '.join(sorted(known)) or 'nothing'}{nearest(name, known)}",
                place_of_function(stage.function),
            )


def _hints(stage: Stage, where: str, problems: Problems) -> dict[str, Any]:
    try:
        return typing.get_type_hints(stage.function, include_extras=True)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        problems.add(
            f"stage {stage.name!r}: an annotation cannot be resolved ({error}): import the type at the top of the "
            f"module, not under TYPE_CHECKING or inside a function",
            where,
        )
        return {}


def _argument(
    stage: Stage, parameter: inspect.Parameter, wanted: Any, stage_names: Collection[str], problems: Problems
) -> Argument | None:
    where = place_of_function(stage.function)
    if parameter.kind in _SPREAD:
        problems.add(
            f"stage {stage.name!r}: parameter {str(parameter).partition(':')[0]} has no name to give it by: use plain "
            f"parameters",
            where,
        )
        return None
    kind = without_none(wanted)
    if (filled := _injected(kind)) is not None:
        return Argument(parameter.name, filled)
    if parameter.name in BATCH and parameter.name not in stage_names:
        return _batch(stage, parameter.name, kind, problems)
    if parameter.name in stage_names:
        optional = may_be_none(wanted)
        wanted = kind if kind is ArtifactRef else wanted
        return Argument(parameter.name, Source.STAGE, upstream=parameter.name, wanted=wanted, optional=optional)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return Argument(parameter.name, Source.PARAMS, wanted=kind)
    if parameter.default is parameter.empty or nearest(parameter.name, stage_names):
        problems.add(f"stage {stage.name!r}: {_unfilled(parameter.name, stage_names)}", where)
    return None


def _injected(kind: Any) -> Source | None:
    """What fills a parameter of this kind, whatever it is called."""
    return INJECTED.get(kind) if isinstance(kind, Hashable) else None


def _batch(stage: Stage, name: str, kind: Any, problems: Problems) -> Argument | None:
    """The micro-batch in the shape that its parameter is annotated with."""
    if is_shape(kind):
        return Argument(name, Source.RECORDS, wanted=kind)
    said = "is not annotated" if kind in (None, Any) else f"is annotated {spoken(kind)}"
    problems.add(
        f"stage {stage.name!r}: parameter {name!r} {said}: the records of a micro-batch come as Records, list[Record], "
        f"list[dict], list of a pydantic model, polars.DataFrame or pyarrow.Table; name it otherwise if it is no batch",
        place_of_function(stage.function),
    )
    return None


def _unfilled(name: str, stage_names: Collection[str]) -> str:
    """A parameter nothing fills. One with a default is left to it, unless it is nearly the name of a stage."""
    if name in _LIKELY:
        return f"parameter {name!r} is no stage: annotate it {_LIKELY[name]}"
    known = ", ".join(sorted(stage_names))
    return f"no stage is called like its parameter {name!r}{nearest(name, stage_names)}; the stages are {known}"


_SUSPENDING = frozenset({"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH"})


def awaits(function: Callable[..., Any]) -> bool:
    """Whether an async function may be suspended: one without any `await` runs through, and cannot be cancelled."""
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_COROUTINE:
        return True
    return any(one.opname in _SUSPENDING for one in dis.get_instructions(code))


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it runs on the loop."""
    return inspect.iscoroutinefunction(function)
