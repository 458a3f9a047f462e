"""Which of the runs that are ready start next, where limits hold between them. Pure: rows and `now` in, a choice out.

Each place goes to the pipeline that drives the fewest runs here already, so that nobody's backlog keeps others waiting.
A higher priority goes first all the same; a waiting run gains a point in `POINT_S`, and once it has caught up with the
highest priority that waits, its pipeline has its share again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stages.limits import Rate
from stages.policy import RunPolicy

# `claim.sql` reckons with the same.
POINT_S = 60.0

Group = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that is ready, and the lane it was found in (empty: none). `begun`: it has run before.

    It has been ready for `waited_s`.
    """

    id: int
    pipeline: str
    lane: str = ""
    priority: int = 0
    begun: bool = False
    waited_s: float = 0.0
    key: str | None = None
    rate_key: str | None = None

    @property
    def aged(self) -> float:
        """Its priority with what it has gained by waiting."""
        return self.priority + self.waited_s / POINT_S


@dataclass(slots=True)
class Standing:
    """What is taken, over all processes: runs of each limited pipeline, key and pool; `here` by this process alone.

    `starts`: how many seconds ago the latest runs of a pipeline and rate key first started, newest first.
    """

    running: Counter[str] = field(default_factory=Counter)
    of_key: Counter[Group] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    capacity: Mapping[str, int] = field(default_factory=dict)
    here: Counter[str] = field(default_factory=Counter)
    starts: dict[Group, list[float]] = field(default_factory=dict)

    def room(self, pipeline: str, policy: RunPolicy | None, places: int) -> int:
        """How many more runs of a pipeline may be under way, `places` at most, going by the pipeline as a whole."""
        room = places
        if policy is not None and policy.max_running is not None:
            room = min(room, policy.max_running - self.running[pipeline])
        if policy is not None and policy.pool is not None:
            room = min(room, self.capacity.get(policy.pool, 0) - self.taken[policy.pool])
        return max(room, 0)

    def room_of_key(self, pipeline: str, key: str, policy: RunPolicy | None, places: int) -> int:
        """How many more runs of one key may be under way, `places` at most."""
        if policy is None or policy.concurrency is None:
            return places
        return max(min(policy.concurrency.at_most - self.of_key[pipeline, key], places), 0)

    def opens_in_s(self, group: Group, rate: Rate) -> float:
        """When one more run may start by its rate; 0: now."""
        starts = self.starts.get(group, [])
        return 0.0 if len(starts) < rate.runs else max(rate.per_s - starts[rate.runs - 1], 0.0)

    def take(self, one: Candidate, policy: RunPolicy | None) -> None:
        """Count a run that starts now."""
        self.here[one.pipeline] += 1
        if policy is None:
            return
        self.running[one.pipeline] += 1
        if policy.pool is not None:
            self.taken[policy.pool] += 1
        if one.key is not None:
            self.of_key[one.pipeline, one.key] += 1
        if one.rate_key is not None and not one.begun:
            self.starts.setdefault((one.pipeline, one.rate_key), []).insert(0, 0.0)


@dataclass(slots=True)
class Choice:
    """Which runs start, and which wait in which lane.

    `opens_in_s` has when lanes open, None for as soon as one of their runs ends; `next_s` when a pipeline's rate
    lets the next run start that stands in no lane.
    """

    picked: list[int] = field(default_factory=list)
    held: dict[int, str] = field(default_factory=dict)
    opens_in_s: dict[Group, float | None] = field(default_factory=dict)
    next_s: float | None = None


def key_lane(key: str) -> str:
    """Where runs wait for another run of their key to end."""
    return f"key:{key}"


def rate_lane(rate_key: str) -> str:
    """Where runs wait until their rate lets one more start."""
    return f"rate:{rate_key}"


def choose(
    candidates: Iterable[Candidate], policies: Mapping[str, RunPolicy], standing: Standing, places: int
) -> Choice:
    """Give up to `places` places away; `standing` counts them. What may not start although its pipeline has room is
    put in a lane. `policies` are those of the pipelines that have limits.
    """
    choice = Choice()
    lines = _lines(candidates)
    while lines and len(choice.picked) < places:
        pipeline = _next(lines, standing)
        policy = policies.get(pipeline)
        one = lines[pipeline][-1]
        if standing.room(pipeline, policy, 1) == 0 or _too_early(one, policy, standing, choice):
            del lines[pipeline]
            continue
        lines[pipeline].pop()
        if not lines[pipeline]:
            del lines[pipeline]
        lane = _lane(one, policy, standing, choice)
        if lane is None:
            choice.picked.append(one.id)
            standing.take(one, policy)
            _close(one, policy, standing, choice)
        elif lane != one.lane:
            choice.held[one.id] = lane
    return choice


def _lines(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """The candidates of each pipeline, the first one last: what has begun, then by priority and age."""
    lines: dict[str, list[Candidate]] = {}
    for one in sorted(candidates, key=lambda one: (one.begun, one.aged, -one.id)):
        lines.setdefault(one.pipeline, []).append(one)
    return lines


def _next(lines: Mapping[str, list[Candidate]], standing: Standing) -> str:
    """The pipeline whose turn it is."""
    heads = [line[-1] for line in lines.values()]
    top = max(one.priority for one in heads)
    able = (one for one in heads if one.aged >= top)
    return min(able, key=lambda one: (standing.here[one.pipeline], -one.waited_s, one.id)).pipeline


def _too_early(one: Candidate, policy: RunPolicy | None, standing: Standing, choice: Choice) -> bool:
    """Whether a rate without a key holds up all of the pipeline that has not begun."""
    if policy is None or policy.rate is None or policy.rate.key is not None or one.begun or one.rate_key is None:
        return False
    opens_in_s = standing.opens_in_s((one.pipeline, one.rate_key), policy.rate)
    if opens_in_s > 0:
        choice.next_s = opens_in_s if choice.next_s is None else min(choice.next_s, opens_in_s)
    return opens_in_s > 0


def _lane(one: Candidate, policy: RunPolicy | None, standing: Standing, choice: Choice) -> str | None:
    """The lane in which a run has to wait; None: it may start."""
    if policy is None:
        return None
    if one.key is not None and standing.room_of_key(one.pipeline, one.key, policy, 1) == 0:
        choice.opens_in_s[one.pipeline, key_lane(one.key)] = None
        return key_lane(one.key)
    if policy.rate is None or policy.rate.key is None or one.rate_key is None or one.begun:
        return None
    opens_in_s = standing.opens_in_s((one.pipeline, one.rate_key), policy.rate)
    if opens_in_s > 0:
        choice.opens_in_s[one.pipeline, rate_lane(one.rate_key)] = opens_in_s
        return rate_lane(one.rate_key)
    return None


def _close(one: Candidate, policy: RunPolicy | None, standing: Standing, choice: Choice) -> None:
    """Say when the lane opens again from which a run was taken, where its rate has closed it."""
    if policy is None or policy.rate is None or one.rate_key is None or one.lane != rate_lane(one.rate_key):
        return
    opens_in_s = standing.opens_in_s((one.pipeline, one.rate_key), policy.rate)
    if opens_in_s > 0:
        choice.opens_in_s[one.pipeline, one.lane] = opens_in_s
