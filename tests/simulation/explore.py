"""Visits every state of the model, and says whether a promise is broken somewhere or some state leads nowhere.

`python -m tests.simulation.explore` does so for three daemons.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from dataclasses import dataclass, replace

from tests.simulation.protocol import Fences, Process, Protocol, State, beginning


@dataclass(frozen=True, slots=True)
class Explored:
    """How many states there are, and what is wrong: in words, with the steps that lead there."""

    states: int
    steps: int
    wrong: str = ""
    path: tuple[str, ...] = ()


def explore(protocol: Protocol, daemons: int, troubles: int) -> Explored:
    """Visit all states that can be reached; from each one of them the end must be in reach."""
    first = canonical(beginning(daemons, troubles))
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    leads_to: dict[State, list[State]] = {}
    todo, steps = deque([first]), 0
    while todo:
        state = todo.popleft()
        if wrong := protocol.wrong(state):
            return Explored(len(came_from), steps, wrong, _path(came_from, state))
        for step, following in protocol.following(state):
            following, steps = canonical(following), steps + 1
            leads_to.setdefault(following, []).append(state)
            if following not in came_from:
                came_from[following] = (state, step)
                todo.append(following)
    stuck = _stuck(came_from.keys(), leads_to)
    if stuck is not None:
        return Explored(len(came_from), steps, "the end cannot be reached any more", _path(came_from, stuck))
    return Explored(len(came_from), steps)


def canonical(state: State) -> State:
    """States that differ only in which process is which, and how leases are numbered, are one."""
    owned = {lease: tuple(n for n, run in enumerate(state.runs) if run.owner == lease) for lease in _told(state)}
    alive = set(state.alive)

    def looks(process: Process) -> tuple[object, ...]:
        write, drives = process.write, process.drives or (-1, -1)
        told = () if write is None else (write.batch, write.stage, write.epoch, write.written, write.refused)
        return (
            told,
            -1 if write is None or write.run is None else write.run,
            drives,
            process.lease in alive,
            owned[process.lease],
        )

    processes = sorted(state.processes, key=looks)
    number: dict[int, int] = {}
    for lease in [*(one.lease for one in processes), *(run.owner for run in state.runs if run.owner is not None)]:
        number.setdefault(lease, len(number))
    return replace(
        state,
        processes=tuple(replace(one, lease=number[one.lease]) for one in processes),
        runs=tuple(run if run.owner is None else replace(run, owner=number[run.owner]) for run in state.runs),
        alive=tuple(sorted(number[lease] for lease in alive if lease in number)),
        leases=len(number),
    )


def _told(state: State) -> set[int]:
    return {one.lease for one in state.processes} | {run.owner for run in state.runs if run.owner is not None}


def _stuck(states: object, leads_to: dict[State, list[State]]) -> State | None:
    """A state from which no finished one can be reached: looked for backwards."""
    known: list[State] = list(states)  # type: ignore[call-overload]
    good = {state for state in known if state.finished}
    todo = list(good)
    while todo:
        for before in leads_to.get(todo.pop(), ()):
            if before not in good:
                good.add(before)
                todo.append(before)
    return next((state for state in known if state not in good), None)


def _path(came_from: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    steps: list[str] = []
    while (before := came_from[state]) is not None:
        state, step = before
        steps.append(step)
    return tuple(reversed(steps))


def main() -> int:
    """Explore and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--daemons", type=int, default=3)
    parser.add_argument("--troubles", type=int, default=2, help="deaths and lapses of live daemons")
    parser.add_argument("--stages", type=int, default=1)
    parser.add_argument("--without", default="", metavar="FENCE", help="leave out a rule, such as epoch")
    args = parser.parse_args()
    fences = replace(Fences(), **{args.without: False}) if args.without else Fences()
    began = time.monotonic()
    found = explore(Protocol(fences, args.stages), args.daemons, args.troubles)
    print(f"{found.states:,} states, {found.steps:,} steps, {time.monotonic() - began:.1f} s")
    if found.wrong:
        print(f"WRONG: {found.wrong}", *(f"  {step}" for step in found.path), sep="\n")
    return bool(found.wrong)


if __name__ == "__main__":
    sys.exit(main())
