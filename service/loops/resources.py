"""What stages take of their daemon while they run: cores, memory, GPUs, or whatever else has a name and an amount."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.values import Amount
from stages.base import Stage
from stages.call import Call
from stages.errors import Permanent
from stages.outcome import Failed, Outcome, record_of
from stages.plan import PlanStage
from stages.runners.base import Runner

# Amounts are sums and differences of floats.
EXACT = 1e-9


@dataclass(eq=False, slots=True)
class _Waiter:
    wanted: Mapping[str, float]
    turn: asyncio.Future[None]


class Resources:
    """Deals out what this daemon has, first come first served for each resource.

    Who waits for one resource does not keep those waiting that want others.
    """

    def __init__(self, amounts: Iterable[Amount] = ()) -> None:
        self.capacity: Mapping[str, float] = {
            "cpu": float(os.cpu_count() or 1),
            **{one.name: one.amount for one in amounts},
        }
        self._free = dict(self.capacity)
        self._waiting: list[_Waiter] = []

    def lacks(self, stage: Stage) -> str | None:
        """What this daemon could never give the stage, in a sentence."""
        short = [
            f"{amount:g} {name} of {self.capacity.get(name, 0):g}"
            for name, amount in stage.resources.items()
            if amount > self.capacity.get(name, 0.0) + EXACT
        ]
        if not short:
            return None
        return (
            f"stage {stage.name} asks for {' and '.join(short)} that this daemon has: set executor.resources"
            " (TIDEMILL_EXECUTOR_RESOURCES) to what the machine can give, or ask for less"
        )

    @asynccontextmanager
    async def of(self, stage: Stage) -> AsyncIterator[None]:
        """Hold what the stage asks for, once it is its turn. What `lacks` says something of is never to be had."""
        wanted = {name: amount for name, amount in stage.resources.items() if amount > 0}
        await self._take(wanted)
        try:
            yield
        finally:
            self._give_back(wanted)

    async def _take(self, wanted: Mapping[str, float]) -> None:
        if not wanted:
            return
        waiter = _Waiter(wanted, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._deal()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                self._deal()
            else:
                self._give_back(wanted)
            raise

    def _give_back(self, wanted: Mapping[str, float]) -> None:
        for name, amount in wanted.items():
            self._free[name] += amount
        if wanted:
            self._deal()

    def _deal(self) -> None:
        """Let everybody go for whom there is enough of what nobody before them waits for."""
        claimed: set[str] = set()
        for waiter in [one for one in self._waiting if not one.turn.cancelled()]:
            enough = all(amount <= self._free[name] + EXACT for name, amount in waiter.wanted.items())
            if enough and not claimed & waiter.wanted.keys():
                for name, amount in waiter.wanted.items():
                    self._free[name] -= amount
                self._waiting.remove(waiter)
                waiter.turn.set_result(None)
            else:
                claimed |= waiter.wanted.keys()


@dataclass(frozen=True, slots=True)
class Rationed:
    """A runner whose attempts take their stage's resources from this daemon while they run."""

    runner: Runner
    resources: Resources

    def run(self, stage: PlanStage, call: Call) -> Coroutine[Any, Any, Outcome]:
        """See `Runner`."""
        return self._run_rationed(stage, call) if stage.stage.resources else self.runner.run(stage, call)

    async def _run_rationed(self, stage: PlanStage, call: Call) -> Outcome:
        """A stage that asks for more than there is has failed for good."""
        lacking = self.resources.lacks(stage.stage)
        if lacking is not None:
            return Failed(record_of(Permanent(lacking)))
        async with self.resources.of(stage.stage):
            return await self.runner.run(stage, call)

    async def close(self) -> None:
        """See `Runner`."""
        await self.runner.close()
