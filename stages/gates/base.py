"""A gate: a check on the arrow between two stages, that lets a run pass, stops it, or has it wait for a person."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from stages.artifacts import ArtifactRef
from stages.registry import ModelVersion
from triggers.event import Event

SHOWN = 5
LONGEST_WAIT_S = 100 * 365 * 86_400.0


class GateState(enum.StrEnum):
    """Where a gate stands. A failed one is permanent; a waiting one holds no worker until a person decides."""

    PASSED = "passed"
    FAILED = "failed"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate found. `evidence` is plain JSON: the metric and its threshold, the failing rows, the age.

    `expires_s` is how long a waiting one waits for people before it fails, None for ever. `report` is where the whole
    evidence is when it was too large to be kept with the run; `stages.gates.evaluate` sees to that.
    """

    state: GateState
    reason: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    expires_s: float | None = None
    report: ArtifactRef | None = None

    @classmethod
    def of(cls, passed: bool, reason: str = "", evidence: Mapping[str, Any] | None = None) -> GateResult:
        """Passed or failed."""
        return cls(GateState.PASSED if passed else GateState.FAILED, reason, evidence or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateContext:
    """What a gate may look at.

    `output` is the source stage's output, decoded: None where the gate does not ask for it (`needs_output`) and it is
    not plain JSON. `finished_at` is when that output was made, also where it was re-used. `params` is the validated
    model. `now` is the instant of the check. `production` has the version in production of each model that the gate
    names in `models`; a model without one is absent.
    """

    run_id: int
    pipeline: str
    source_stage: str
    output: Any
    metrics: Mapping[str, float]
    finished_at: datetime
    event: Event
    params: Any
    now: datetime
    production: Mapping[str, ModelVersion] = field(default_factory=dict)


@runtime_checkable
class Gate(Protocol):
    """A check. `check` may be a coroutine function; a blocking one is called off the loop.

    One that compares with models in production also has `models`, their names.
    """

    @property
    def name(self) -> str:
        """Tells several gates on one arrow apart."""

    @property
    def needs_output(self) -> bool:
        """Whether `check` looks at the output, so that it must be read and decoded."""

    def check(self, evidence: GateContext) -> Any:
        """A `GateResult`, or an awaitable of one."""


@dataclass(frozen=True)
class FunctionGate:
    """A plain function as a gate. It returns a bool or a `GateResult`, or nothing after its asserts have held.

    Its parameters are filled by name with the fields of `GateContext`; one annotated `GateContext` gets it whole, and
    a lone one of any other name gets the output. The models it is given in `production` are those in its attribute
    `models`, as in `better.models = ["flights"]`.
    """

    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @property
    def needs_output(self) -> bool:
        """Whether it takes the output, or the whole context."""
        return any(field in ("output", None) for field in self.fields().values())

    @property
    def models(self) -> tuple[str, ...]:
        """The models whose version in production it looks at."""
        return tuple(getattr(self.function, "models", ()))

    @property
    def takes_params(self) -> bool:
        """Whether it takes the run's parameters, or the whole context."""
        return any(field in ("params", None) for field in self.fields().values())

    def check(self, evidence: GateContext) -> Any:
        """Call the function; `stages.gates.evaluate` says what its answer means."""
        filled = {name: getattr(evidence, field) if field else evidence for name, field in self.fields().items()}
        return self.function(**filled)

    def fields(self) -> dict[str, str | None]:
        """Each parameter and the field of `GateContext` that fills it, None for all of it. Raises TypeError."""
        parameters = inspect.signature(self.function).parameters
        found: dict[str, str | None] = {}
        for name, parameter in parameters.items():
            if parameter.annotation in (GateContext, GateContext.__name__):
                found[name] = None
            elif name in GateContext.__dataclass_fields__:
                found[name] = name
            elif len(parameters) == 1:
                found[name] = "output"
            else:
                known = ", ".join(GateContext.__dataclass_fields__)
                raise TypeError(f"function {self.name!r} asks for {name!r}; a gate may take {known}")
        if "production" in found.values() and not self.models:
            raise TypeError(f"function {self.name!r} asks for 'production': name models, {self.name}.models = ['...']")
        return found


def as_gate(given: Any) -> Gate:
    """A gate, or a plain function made one. Raises TypeError saying what is wrong with anything else."""
    if isinstance(given, Gate) and not isinstance(given, type):
        return given
    if not inspect.isfunction(given):
        raise TypeError(f"{given!r} is neither a gate nor a function: use one of stages.gates, called, or a function")
    gate = FunctionGate(given)
    gate.fields()
    return gate
