"""The graph of a pipeline: edges by parameter name, their order, and whether everything joins up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from stages.base import Stage
from stages.fitting import element_type, fits, spoken
from stages.gates.base import Gate, as_gate
from stages.plan import PlanGate
from stages.problems import Problems, nearest, place_of_function
from stages.signature import Signature

Arrow = tuple[str, str]


def upstream_of(stage: Stage, signature: Signature) -> frozenset[str]:
    """The stages that must be finished first."""
    inputs = (one.upstream for one in signature.arguments if one.upstream is not None)
    return frozenset(inputs) | frozenset(stage.after)


def ordered(stages: Sequence[Stage], signatures: Mapping[str, Signature], problems: Problems) -> list[Stage]:
    """A topological order that keeps the declared one where it may. A cycle or an unknown `after` is a problem."""
    by_name = {stage.name: stage for stage in stages}
    for stage in stages:
        for name in stage.after:
            if name not in by_name:
                problems.add(
                    f"stage {stage.name!r}: after={name!r} is no stage{nearest(name, by_name)}",
                    place_of_function(stage.function),
                )
    edges = {stage.name: upstream_of(stage, signatures[stage.name]) & by_name.keys() for stage in stages}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        circle: Sequence[str] = error.args[1]
        problems.add(
            f"the stages {' -> '.join(circle)} take each other's output in a circle",
            place_of_function(by_name[circle[0]].function),
        )
        return list(stages)
    return _steady(stages, edges)


def _steady(stages: Sequence[Stage], edges: Mapping[str, frozenset[str]]) -> list[Stage]:
    waiting, done = list(stages), []
    names: set[str] = set()
    while waiting:
        following = next(stage for stage in waiting if edges[stage.name] <= names)
        waiting.remove(following)
        done.append(following)
        names.add(following.name)
    return done


def check_types(stages: Sequence[Stage], signatures: Mapping[str, Signature], problems: Problems) -> None:
    """Note every edge whose ends are annotated with plainly different types."""
    mapped = {stage.name for stage in stages if stage.map is not None}
    for stage in stages:
        for argument in signatures[stage.name].arguments:
            if argument.upstream is None or argument.upstream not in signatures:
                continue
            produced = signatures[argument.upstream].output_type
            if argument.upstream in mapped and produced is not None:
                produced = list[produced]  # type: ignore[valid-type]
            if argument.parameter == stage.map:
                produced = element_type(produced)
            if not fits(produced, argument.wanted):
                problems.add(
                    f"stage {stage.name!r} takes {argument.parameter!r} as {spoken(argument.wanted)}, but stage "
                    f"{argument.upstream!r} returns {spoken(produced)}",
                    place_of_function(stage.function),
                )


def named_gates(
    gates: Mapping[Arrow, Any], arrows: Sequence[Arrow], problems: Problems
) -> dict[Arrow, tuple[PlanGate, ...]]:
    """The gates by arrow, each with its name. A gate on no arrow, or two of one name, is a problem."""
    named: dict[Arrow, tuple[PlanGate, ...]] = {}
    for arrow, given in gates.items():
        if arrow not in arrows:
            known = ", ".join(f"{src!r} -> {dst!r}" for src, dst in arrows) or "none: no stage takes another's output"
            problems.add(f"gate on {arrow!r}: there is no such arrow; the arrows are {known}")
            continue
        found = [gate for one in _listed(given) if (gate := _gate(one, arrow, problems)) is not None]
        named[arrow] = tuple(PlanGate(_gate_name(arrow, gate, len(found)), *arrow, gate) for gate in found)
    _check_gate_names(named, problems)
    return named


def _listed(given: Any) -> Sequence[Any]:
    return given if isinstance(given, list | tuple) else (given,)


def _gate(given: Any, arrow: Arrow, problems: Problems) -> Gate | None:
    try:
        gate = as_gate(given)
    except TypeError as error:
        problems.add(f"gate on {arrow[0]!r} -> {arrow[1]!r}: {error}")
        return None
    problems.name("gate", gate.name)
    return gate


def _gate_name(arrow: Arrow, gate: Gate, count: int) -> str:
    return "-".join(arrow) if count == 1 else "-".join((*arrow, gate.name))


def _check_gate_names(named: Mapping[Arrow, Sequence[PlanGate]], problems: Problems) -> None:
    seen: set[str] = set()
    for gate in (gate for gates in named.values() for gate in gates):
        if gate.name in seen:
            problems.add(f"two gates are called {gate.name!r}: give one of them another name=")
        seen.add(gate.name)
