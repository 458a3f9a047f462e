"""The pipelines this process has loaded, and the triggers they listen with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.errors import ConfigError, NotFound
from stages.pipeline import Pipeline, load
from stages.policy import RunPolicy
from triggers.base import Binding, Trigger
from triggers.marked import check_uses, paths_of, secrets_of
from triggers.route import Route


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Loaded pipelines by name, and the import spec each came from.

    `kept`: they were loaded from the kept code of earlier versions, and only runs that are for those are driven.
    """

    pipelines: Mapping[str, Pipeline]
    specs: Mapping[str, str]
    kept: bool = False

    def pipeline(self, name: str) -> Pipeline:
        """The pipeline called `name`. Raises `NotFound` naming those there are."""
        try:
            return self.pipelines[name]
        except KeyError:
            known = ", ".join(sorted(self.pipelines)) or "none: set TIDEMILL_PIPELINES"
            raise NotFound(f"no pipeline is called {name!r}; loaded: {known}") from None

    @property
    def limits(self) -> Mapping[str, RunPolicy]:
        """The policies of those pipelines whose runs may have to wait for other runs."""
        return {name: pipeline.policy for name, pipeline in self.pipelines.items() if pipeline.policy.limited}

    def secrets_at(self, route: Route) -> Sequence[str]:
        """What is a secret to any trigger that hears what comes by `route`."""
        heard = (one for one in self.bindings() if one.trigger.secrets)
        return secrets_of(one for one in heard if one.trigger.deaf_to(route, one.pipeline) is None)

    def secrets_beside(self, trigger: Trigger) -> Sequence[str]:
        """What is a secret to any trigger that hears the same events as this one."""
        return secrets_of(one for one in self.bindings() if one.trigger.ear == trigger.ear)

    def check_secrets(self) -> None:
        """Raises `InvalidTrigger` where a pipeline goes by what another that hears the same events calls a secret."""
        marking = [one for one in self.bindings() if one.trigger.secrets]
        for one in self.bindings() if marking else ():
            policy = self.pipelines[one.pipeline].policy
            keys = [limit.key for limit in (policy.concurrency, policy.rate) if limit is not None and limit.key]
            for other in marking:
                if other.trigger.ear == one.trigger.ear:
                    check_uses(one.name, [*paths_of(one.trigger), *keys], other.name, other.trigger.secrets)

    def bindings(self, kind: type | None = None) -> Iterator[Binding]:
        """Every trigger of every pipeline, or those of one class."""
        for pipeline in self.pipelines.values():
            for trigger in pipeline.on:
                if kind is None or isinstance(trigger, kind):
                    yield Binding(pipeline.name, trigger)


def load_catalogue(specs: Sequence[str]) -> Catalogue:
    """Load `package.module:name` pipelines. Raises `InvalidPipeline` or `ConfigError` (two of one name)."""
    pipelines: dict[str, Pipeline] = {}
    origins: dict[str, str] = {}
    for spec in specs:
        pipeline = load(spec)
        if pipeline.name in pipelines:
            raise ConfigError(
                f"TIDEMILL_PIPELINES: {spec} and {origins[pipeline.name]} are both called {pipeline.name!r}:"
                " rename one of them"
            )
        pipelines[pipeline.name] = pipeline
        origins[pipeline.name] = spec
    return Catalogue(pipelines, origins)
