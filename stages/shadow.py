"""What a stage is lent in a run that may change nothing outside: it is told what it would have done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.registry import ModelVersion, NewVersion, Registry
from triggers.event import utc_now

# The number of a version that was not registered. No model has so many.
UNREGISTERED = 2**31 - 1

Effect = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ShadowRegistry:
    """A registry that is read, and not written: `would` is told of each change there would have been."""

    registry: Registry
    would: Callable[[Effect], None]

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        """A version as it would be, numbered `UNREGISTERED`."""
        self.would(
            {
                "effect": "register",
                "told": f"would have registered a version of model {new.model}",
                "model": new.model,
                "artifacts": dict(new.artifacts),
                "metrics": dict(new.metrics),
            }
        )
        return ModelVersion(
            model=new.model,
            version=UNREGISTERED,
            state="staging",
            artifacts=new.artifacts,
            metrics=new.metrics,
            lineage=new.lineage,
            run_id=new.run_id,
            pipeline=new.pipeline,
            created_at=utc_now(),
        )

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        """The version an alias really points at."""
        return await self.registry.alias(model, alias)

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        """Where it would point. Never raises `AliasMoved`."""
        named = "the version it would have registered" if version == UNREGISTERED else f"version {version}"
        since = f"from version {expect} " if expect is not None else ""
        self.would(
            {
                "effect": "move_alias",
                "told": f"would have moved {alias} of model {model} {since}to {named}",
                "model": model,
                "alias": alias,
                "version": None if version == UNREGISTERED else version,
                "expect": expect,
            }
        )
        return ModelVersion(
            model=model,
            version=version,
            state="production" if alias == "production" else "staging",
            artifacts={},
            metrics={},
            lineage={},
            run_id=None,
            pipeline=None,
            created_at=utc_now(),
        )


def unsent(events: Sequence[Mapping[str, Any]]) -> list[Effect]:
    """The effects that events a stage emitted would have been."""
    return [
        {"effect": "emit", "told": f"would have emitted an event of type {one['type']}", "event": dict(one)}
        for one in events
    ]
