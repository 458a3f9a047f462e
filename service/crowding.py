"""Runs of one key when more come than may be: which are not started, and which older ones give way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from stages.limits import Concurrency
from triggers.event import EventKey

# How the reason of such a fate begins; `accept.sql` knows an event that was dropped by it.
DROPPED = "dropped: "

Place = tuple[EventKey, str]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A run that is to be started, by the place of its event, and the key that it shares with others."""

    place: Place
    key: Key
    limit: Concurrency


def dropped(
    newcomers: Sequence[Newcomer], unfinished: Mapping[Key, Sequence[int]], decided: Collection[Place]
) -> Mapping[Place, int | Place]:
    """The newcomers that are not started, each with what holds its key: a run, or a newcomer before it.

    `unfinished` are the runs of each key, oldest first; places that are `decided` are repeats and change nothing.
    """
    found: dict[Place, int | Place] = {}
    held: dict[Key, list[int | Place]] = {key: list(runs) for key, runs in unfinished.items()}
    for one in newcomers:
        if one.place in decided or one.limit.policy != "drop_new":
            continue
        holders = held.setdefault(one.key, [])
        if len(holders) >= one.limit.at_most:
            found[one.place] = holders[0]
        else:
            holders.append(one.place)
    return found


def replaced(
    newcomers: Sequence[Newcomer], unfinished: Mapping[Key, Sequence[int]], started: Mapping[Place, int]
) -> Mapping[int, int]:
    """The runs that give way, each with the run that takes its place: of one key, only the newest may stay."""
    found: dict[int, int] = {}
    standing: dict[Key, list[int]] = {key: list(runs) for key, runs in unfinished.items()}
    for one in newcomers:
        run = started.get(one.place)
        if run is None or one.limit.policy != "cancel_running":
            continue
        runs = standing.setdefault(one.key, [])
        runs.append(run)
        while len(runs) > one.limit.at_most:
            found[runs.pop(0)] = run
    return found


def why_dropped(run: int, key: str, limit: Concurrency) -> str:
    """The reason of the fate of an event whose run is not started."""
    most = "" if limit.at_most == 1 else f", as have not others (at most {limit.at_most} at once)"
    return f"{DROPPED}run {run} of the same key {key!r} has not finished{most}"
