"""A pipeline: stages joined by the names of their parameters, gates on the arrows, triggers that start it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Unpack

from pydantic import BaseModel

from stages import graph
from stages.base import Stage
from stages.code_root import import_from
from stages.digests import code_digest, digest_text, value_digest
from stages.environments.lock import environment_digest, package_problems
from stages.errors import InvalidPipeline, StageError
from stages.fitting import element_type
from stages.params import agreed_params, check_trigger_params, digest_params, parse_params
from stages.placing import DEFAULT_RUNNER, runner_of, unkept_time
from stages.plan import Argument, Plan, PlanStage, Source, key_prefix
from stages.policy import RunPolicy, RunSettings, read_policy
from stages.problems import Problems, caller, nearest, place_of_error, place_of_function
from stages.rules import Rule, broken, is_list, made_by, text
from stages.runners.base import runner_names
from stages.secret_params import check_secrets
from stages.settings import check_settings
from stages.signature import Signature, awaits, is_async, read_signature
from triggers.base import Trigger
from triggers.errors import TriggerError

SHOWN_VERSION = 12
# How long a clean-up may take over all its attempts, unless its policy says otherwise: a run ends only after it.
CLEAN_UP_S = 3600.0
# The settings of a stage that make another version of its pipeline.
VERSIONED = (
    *("retry", "timeout_s", "heartbeat_s", "memory_bytes", "cpu_s", "resources", "reuse", "expires_s", "after", "map"),
    *("at_once", "image"),
)
# What `Pipeline` is told besides the settings of `RunPolicy`.
OWN_RULES: Mapping[str, Rule] = {
    "stages": Rule(is_list, "a list of stages"),
    "gates": made_by(Mapping, "gates by arrow, as in gates={('ingest', 'train'): row_count(1)}").or_none(),
    "on": Rule(is_list, "a list of triggers"),
    "params": Rule(
        lambda given: isinstance(given, type) and issubclass(given, BaseModel), "a pydantic model"
    ).or_none(),
    "serve": Rule(callable, "a function").or_none(),
    "runner": text("the name of a runner").or_none(),
}
# What a module of the author's may raise while it is imported, short of what ends the process.
_OF_A_MODULE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    StageError,
    SyntaxError,
    TriggerError,
    TypeError,
    ValueError,
)


class Pipeline:
    """A versioned graph of stages. Put together wrongly, it raises one `InvalidPipeline` that lists every problem.

    `gates` maps an arrow `(stage, stage)` to a gate, a function, or a list of them. `params` is needed only where no
    stage annotates the model. `serve` is what answers prediction requests. `runner` is the runner of stages that name
    none of their own.

    The rest are the settings of `RunPolicy`.
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage],
        *,
        gates: Mapping[tuple[str, str], Any] | None = None,
        on: Sequence[Trigger] = (),
        params: type[BaseModel] | None = None,
        serve: Callable[..., Any] | None = None,
        runner: str | None = None,
        **settings: Unpack[RunSettings],
    ) -> None:
        self.name = name
        self.serve = serve
        self.runner = runner
        self.spec: str | None = None
        self.home, self.where = caller(1)
        problems = Problems(name, self.where)
        problems.name("pipeline", name)
        own = {"stages": stages, "gates": gates, "on": on, "params": params, "serve": serve, "runner": runner}
        self.policy = _checked_policy(own, settings, problems)
        self.on = tuple(on)
        declared = _distinct(stages, problems)
        if not declared:
            problems.add("it has no stages")
        names = {one.name for one in declared}
        self.hooks = self._named_hooks(names, problems)
        self._signatures = {one.name: read_signature(one, names, problems) for one in (*declared, *self.hooks.values())}
        self.stages = tuple(graph.ordered(declared, self._signatures, problems))
        graph.check_types(self.stages, self._signatures, problems)
        self.params = agreed_params(params, (*self.stages, *self.hooks.values()), self._signatures, problems)
        check_secrets(self.params, problems)
        self.gates = graph.named_gates(gates or {}, self.arrows, problems)
        self._check_triggers(problems)
        self._check_places(problems)
        problems.settle()

    def __repr__(self) -> str:
        return f"Pipeline({self.name!r}, {len(self.stages)} stages, {self.where})"

    @property
    def arrows(self) -> list[tuple[str, str]]:
        """Every `(stage, stage)` where the second waits for the first."""
        return [
            (src, stage.name)
            for stage in self.stages
            for src in sorted(graph.upstream_of(stage, self._signatures[stage.name]))
        ]

    @cached_property
    def plan(self) -> Plan:
        """What the executor reads. Worked out on first use, when the module is whole: code is read for the digests."""
        ordered = tuple(self._plan_stage(index, stage) for index, stage in enumerate(self.stages))
        hooks = {when: self._plan_hook(hook) for when, hook in self.hooks.items()}
        stages = MappingProxyType({one.name: one for one in (*ordered, *hooks.values())})
        self._check_times(list(stages.values()))
        return Plan(ordered, stages, MappingProxyType(self.gates), MappingProxyType(hooks))

    @cached_property
    def version_digest(self) -> str:
        """The digest of the code, signatures and declared settings of the stages, and of the gates."""
        parts = [self.name]
        for one in self.plan.stages.values():
            settings = {name: getattr(one.stage, name) for name in VERSIONED} | {"runner": one.runner}
            parts += [one.name, one.code_digest, one.environment_digest or "", value_digest(settings, self.home)]
        for gate in (gate for gates in self.plan.gates.values() for gate in gates):
            parts += [gate.name, gate.src, gate.dst, self.gate_digests[gate.name]]
        return digest_text(*parts)

    @cached_property
    def gate_digests(self) -> Mapping[str, str]:
        """The digest of what each gate is declared as, by its name: its code and its settings."""
        every = (gate for gates in self.plan.gates.values() for gate in gates)
        return MappingProxyType({gate.name: value_digest(gate.gate, self.home) for gate in every})

    @cached_property
    def version(self) -> str:
        """`version_digest` as people see it."""
        return self.version_digest[:SHOWN_VERSION]

    def parse_params(self, raw: Mapping[str, Any] | None) -> BaseModel | None:
        """Raw parameters as the pipeline's model, None where it takes none. Raises `InvalidParams`."""
        return parse_params(self.name, self.params, raw)

    def digest_params(self, params: BaseModel | None) -> str:
        """The digest of validated parameters, for `stage_key`."""
        return digest_params(params)

    def _plan_stage(self, index: int, stage: Stage) -> PlanStage:
        signature = self._signatures[stage.name]
        sources = {argument.source for argument in signature.arguments}
        inputs = {one.parameter: one.upstream for one in signature.arguments if one.upstream is not None}
        spec = self.spec or self._found_at()
        code, environment = _stage_digest(stage, self.home), environment_digest(stage)
        runner, on_loop = self._runner_of(stage, spec), is_async(stage.function)
        return PlanStage(
            name=stage.name,
            index=index,
            stage=stage,
            pipeline=self.name,
            runner=runner,
            arguments=self._decoding(stage, signature),
            inputs=MappingProxyType(inputs),
            optional=frozenset(one.parameter for one in signature.arguments if one.optional),
            upstream=graph.upstream_of(stage, signature),
            downstream=frozenset(dst for src, dst in self.arrows if src == stage.name),
            is_async=on_loop,
            reusable=stage.reuse == "always" and sources.isdisjoint((Source.EVENT, Source.EVENTS, Source.RECORDS)),
            runs_through=on_loop and runner == "inline" and not awaits(stage.function),
            takes_event=not sources.isdisjoint((Source.EVENT, Source.EVENTS)),
            takes_events=Source.EVENTS in sources,
            takes_params=Source.PARAMS in sources,
            takes_context=Source.CONTEXT in sources,
            takes_records=Source.RECORDS in sources,
            output_type=_stored_type(stage, signature),
            params_type=self.params,
            code_digest=code,
            environment_digest=environment,
            key_prefix=key_prefix(code, environment),
            spec=spec,
        )

    def _plan_hook(self, hook: Stage) -> PlanStage:
        """A stage that waits for nothing: what is not there by then is None. Its result is nobody else's."""
        total_s = hook.retry.total_s or CLEAN_UP_S
        bounded = replace(hook, reuse="run", retry=replace(hook.retry, total_s=total_s))
        planned = self._plan_stage(len(self.stages), bounded)
        arguments = tuple(replace(one, optional=True) for one in planned.arguments)
        optional = frozenset(planned.inputs)
        return replace(planned, arguments=arguments, optional=optional, upstream=frozenset(), downstream=frozenset())

    def _named_hooks(self, names: Collection[str], problems: Problems) -> Mapping[str, Stage]:
        """The stages that run at the end. One that is called like a stage of the graph is a problem."""
        found: dict[str, Stage] = {}
        for when, hook in self.policy.hooks.items():
            if hook.name in names or hook.name in {one.name for one in found.values()}:
                problems.add(f"{when}: another stage is called {hook.name!r} too: give it another name=", _place(hook))
            elif hook.map is not None:
                problems.add(f"{when}: stage {hook.name!r} is mapped: a clean-up is one stage", _place(hook))
            else:
                found[when] = hook
        return found

    def _found_at(self) -> str | None:
        """`module:name` of the variable that holds this pipeline, None where another process would not find it."""
        module = None if self.home == "__main__" else sys.modules.get(self.home)
        return next((f"{self.home}:{name}" for name, value in vars(module or object).items() if value is self), None)

    def _decoding(self, stage: Stage, signature: Signature) -> tuple[Argument, ...]:
        """Where the taker does not say what it wants, the maker's annotation tells what it is."""
        by_name = {one.name: one for one in self.stages}
        found = []
        for one in signature.arguments:
            if one.upstream is not None and one.wanted in (None, Any):
                made = _stored_type(by_name[one.upstream], self._signatures[one.upstream])
                one = replace(one, wanted=element_type(made) if one.parameter == stage.map else made)
            found.append(one)
        return tuple(found)

    def _list_type(self, stage: Stage, inputs: Mapping[str, str]) -> Any:
        """What the list is stored as that a mapped stage works through."""
        source = next((one for one in self.stages if one.name == inputs.get(stage.map or "")), None)
        return None if source is None else _stored_type(source, self._signatures[source.name])

    def _runner_of(self, stage: Stage, spec: str | None = None) -> str:
        return runner_of(stage, self.runner, self._run_timeout_s(stage), importable=spec is not None)

    def _run_timeout_s(self, stage: Stage) -> float | None:
        """The run's own time, where it ends this stage too: clean-ups come after it."""
        return self.policy.timeout_s if any(one.name == stage.name for one in self.stages) else None

    def _check_times(self, planned: Sequence[PlanStage]) -> None:
        """Refuse times of blocking stages that only a process could keep, where none can import the pipeline."""
        problems = Problems(self.name, self.where)
        declared = {one.name: one for one in (*self.stages, *self.hooks.values())}
        for one in planned:
            told = unkept_time(declared[one.name], self._run_timeout_s(one.stage))
            if one.spec is None and one.runner == DEFAULT_RUNNER and told is not None:
                problems.add(
                    f"stage {one.name!r}: {told} can be kept in a process of its own only, and no other process can "
                    f"import this pipeline: assign it to a global variable of a module, or make the stage async",
                    _place(one.stage),
                )
        problems.settle()

    def _check_triggers(self, problems: Problems) -> None:
        seen: set[str] = set()
        declared: Sequence[Any] = self.on
        for trigger in declared:
            if not isinstance(trigger, Trigger):
                problems.add(f"on=[{trigger!r}]: not a trigger: use one of the triggers package, called")
                continue
            if trigger.name in seen:
                problems.add(f"two triggers are called {trigger.name!r}: give one of them another name=")
            seen.add(trigger.name)
            check_trigger_params(self.params, trigger, problems)
            if trigger.concurrency_key is not None and self.policy.concurrency is None:
                problems.add(
                    f"trigger {trigger.name!r}: concurrency_key says where its events carry the key, but the pipeline "
                    f"does not say how many runs of one key may be under way: give it "
                    f"concurrency=Concurrency({trigger.concurrency_key!r})"
                )
            if trigger.coalesce is not None and trigger.coalesce.takes_all:
                self._check_batch(trigger, problems)

    def _check_batch(self, trigger: Trigger, problems: Problems) -> None:
        """A stage that sees only one event of a batch would pass over the others without a word."""
        signatures = [self._signatures[stage.name] for stage in self.stages if stage.name in self._signatures]
        taken = {one.source for signature in signatures for one in signature.arguments}
        if Source.EVENT in taken and Source.EVENTS not in taken:
            problems.add(
                f"trigger {trigger.name!r} gathers batches, but no stage takes them: let one take `events: list[Event]`"
            )

    def _check_places(self, problems: Problems) -> None:
        runners = runner_names()
        for stage in (*self.stages, *self.hooks.values()):
            where = _place(stage)
            problems.name("stage", stage.name, where)
            if (runner := self._runner_of(stage)) not in runners:
                problems.add(f"stage {stage.name!r}: no runner {runner!r}; there are {', '.join(runners)}", where)
            if stage in self.stages and any(
                one.source is Source.ENDING for one in self._signatures[stage.name].arguments
            ):
                problems.add(f"stage {stage.name!r}: only on_failure, on_cancel and finally_ are told a RunEnd", where)
            for limit in ("memory_bytes", "cpu_s"):
                if getattr(stage, limit) is not None and runner == DEFAULT_RUNNER:
                    problems.add(f"stage {stage.name!r}: {limit} needs a process of its own: runner='process'", where)
            told = unkept_time(stage, self._run_timeout_s(stage))
            if told is not None and runner == DEFAULT_RUNNER and DEFAULT_RUNNER in (stage.runner, self.runner):
                problems.add(
                    f"stage {stage.name!r}: {told} cannot be kept in a thread, which nobody can stop: leave out "
                    f"runner='inline', and it runs in a process; or make it async",
                    where,
                )
            for problem in package_problems(stage, runner):
                problems.add(f"stage {stage.name!r}: {problem}", where)


def _checked_policy(own: Mapping[str, Any], settings: Mapping[str, Any], problems: Problems) -> RunPolicy:
    """The policy, once everything that is declared by value is what it should be: the rest reads it unasked."""
    for wrong in broken(OWN_RULES, own):
        problems.add(wrong)
    policy = read_policy(settings, own.keys(), problems)
    declared = own["stages"] if OWN_RULES["stages"].allows(own["stages"]) else ()
    for one in {id(one): one for one in (*declared, *policy.hooks.values())}.values():
        check_settings(one, problems)
    problems.settle()
    return policy


def _distinct(stages: Sequence[Any], problems: Problems) -> list[Stage]:
    """The declared stages, each name once."""
    distinct: dict[str, Stage] = {}
    for one in stages:
        if not isinstance(one, Stage):
            problems.add(f"stages=[{one!r}]: not a stage: put @stage above the function")
        elif one.name in distinct:
            problems.add(f"two stages are called {one.name!r}: give one of them @stage(name=...)", _place(one))
        else:
            distinct[one.name] = one
    return list(distinct.values())


def _place(stage: Stage) -> str:
    return place_of_function(stage.function)


def _stage_digest(stage: Stage, home: str) -> str:
    """The digest of what decides a stage's result: its function, and how it is applied."""
    code = code_digest(stage.function)
    if stage.when is None and stage.map is None:
        return code
    return digest_text(code, stage.map or "", value_digest(stage.when, home))


def _stored_type(stage: Stage, signature: Signature) -> Any:
    """What others get: a list, where the stage is mapped."""
    made = signature.output_type
    return made if stage.map is None or made is None else list[made]  # type: ignore[valid-type]


def load(spec: str) -> Pipeline:
    """The pipeline `package.module:name`, importable from the working folder, with its version worked out.

    Raises `InvalidPipeline` saying what is missing and what there is instead.
    """
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise InvalidPipeline(f"pipeline {spec!r}: write it as package.module:name")
    module = _module(spec, module_name)
    there = sorted(key for key, value in vars(module).items() if isinstance(value, Pipeline))
    found = getattr(module, name, None)
    if not isinstance(found, Pipeline):
        has = f"its pipelines are {', '.join(there)}" if there else "it holds no pipeline"
        what = "is not there" if found is None else f"is a {type(found).__name__}, not a Pipeline"
        raise InvalidPipeline(f"pipeline {spec!r}: {name!r} {what}; {has}{nearest(name, there)}")
    found.spec = spec
    found.version_digest  # noqa: B018  # reads the code while it is what was imported
    return found


def _module(spec: str, name: str) -> ModuleType:
    here = import_from(Path.cwd())
    try:
        return importlib.import_module(name)
    except InvalidPipeline:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidPipeline(
                f"pipeline {spec!r}: there is no module {error.name!r} in {here} or among the installed packages"
            ) from None
        raise InvalidPipeline(f"pipeline {spec!r}: {name} needs {error.name!r}: is it installed?") from error
    except _OF_A_MODULE as error:
        raise InvalidPipeline(
            f"pipeline {spec!r}: importing {name} failed: {type(error).__name__}: {error} ({place_of_error(error)})"
        ) from error
