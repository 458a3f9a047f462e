"""Which runs start next: limits are kept, places are dealt out fairly, and nothing that may start is left standing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from service.choice import Candidate, Choice, Standing, choose, key_lane, rate_lane
from stages.limits import Concurrency, Rate
from stages.policy import RunPolicy

MINUTE_S = 60.0


def waiting(run: int, pipeline: str = "a", **more: object) -> Candidate:
    """A run that has waited the longer, the lower its number."""
    return Candidate(**{"id": run, "pipeline": pipeline, "waited_s": 1000.0 - run, **more})  # type: ignore[arg-type]


def test_without_limits_the_oldest_go_first() -> None:
    assert choose([waiting(3), waiting(1), waiting(2)], {}, Standing(), 2).picked == [1, 2]


def test_a_backlog_gets_its_share_and_no_more() -> None:
    backlog = [waiting(run, "a") for run in range(1, 10)]
    others = [waiting(10, "b"), waiting(11, "c")]
    assert choose([*backlog, *others], {}, Standing(), 4).picked == [1, 10, 11, 2]


def test_who_drives_more_here_already_comes_later() -> None:
    standing = Standing(here=Counter(a=5))
    assert choose([waiting(1, "a"), waiting(2, "b"), waiting(3, "b")], {}, standing, 2).picked == [2, 3]


def test_a_higher_priority_goes_first() -> None:
    assert choose([waiting(1, waited_s=30.0), waiting(2, "b", priority=1, waited_s=0.0)], {}, Standing(), 1).picked == [
        2
    ]


def test_a_waiting_run_gains_a_point_a_minute_and_then_shares() -> None:
    urgent = [waiting(run, "b", priority=5, waited_s=1.0) for run in (2, 3, 4)]
    early = waiting(1, "a", waited_s=4 * MINUTE_S)
    late = waiting(1, "a", waited_s=5 * MINUTE_S)
    assert choose([early, *urgent], {}, Standing(), 3).picked == [2, 3, 4]
    assert choose([late, *urgent], {}, Standing(), 3).picked == [1, 2, 3]


def test_an_aged_backlog_is_no_better_than_a_newcomer_of_its_own_priority() -> None:
    backlog = [waiting(run, "a", waited_s=90 * MINUTE_S) for run in range(1, 5)]
    newcomer = waiting(9, "b", waited_s=0.0)
    assert choose([*backlog, newcomer], {}, Standing(here=Counter(a=1)), 1).picked == [9]


def test_within_a_pipeline_what_has_begun_goes_first() -> None:
    assert choose([waiting(1), waiting(2, begun=True)], {}, Standing(), 1).picked == [2]


def test_a_pipeline_without_room_is_passed_over() -> None:
    policies = {"a": RunPolicy(max_running=2), "b": RunPolicy()}
    standing = Standing(running=Counter(a=1))
    found = choose([waiting(1), waiting(2), waiting(3, "b")], policies, standing, 9)
    assert (found.picked, found.held) == ([1, 3], {})


def test_a_pool_is_shared_by_its_pipelines() -> None:
    policies = {"a": RunPolicy(pool="p"), "b": RunPolicy(pool="p"), "c": RunPolicy(pool="q")}
    standing = Standing(taken=Counter(p=1), capacity={"p": 3, "q": 1})
    runs = [waiting(1), waiting(2), waiting(3, "b"), waiting(4, "b"), waiting(5, "c"), waiting(6, "c")]
    assert choose(runs, policies, standing, 9).picked == [1, 3, 5]


def test_a_pool_nobody_has_heard_of_has_no_places() -> None:
    assert choose([waiting(1)], {"a": RunPolicy(pool="p")}, Standing(), 9).picked == []


def test_a_run_whose_key_is_busy_lets_others_pass_and_is_put_in_its_lane() -> None:
    policies = {"a": RunPolicy(concurrency=Concurrency("subject"))}
    standing = Standing(of_key=Counter({("a", "x"): 1}))
    found = choose([waiting(1, key="x"), waiting(2, key="y"), waiting(3, key="y"), waiting(4)], policies, standing, 9)
    assert found.picked == [2, 4]
    assert found.held == {1: key_lane("x"), 3: key_lane("y")}
    assert found.opens_in_s == {("a", key_lane("x")): None, ("a", key_lane("y")): None}


def test_a_rate_without_a_key_holds_up_what_has_not_begun_until_its_time() -> None:
    policies = {"a": RunPolicy(rate=Rate(2, 10))}
    standing = Standing(starts={("a", ""): [1.0, 4.0, 9.0]})
    found = choose([waiting(1, rate_key=""), waiting(2, rate_key="", begun=True)], policies, standing, 9)
    assert (found.picked, found.held, found.next_s) == ([2], {}, 6.0)


def test_a_rate_by_key_lets_other_keys_pass_and_says_when_its_lane_opens() -> None:
    policies = {"a": RunPolicy(rate=Rate(1, 10, "subject"))}
    standing = Standing(starts={("a", "x"): [3.0]})
    runs = [waiting(1, rate_key="x"), waiting(2, rate_key="y"), waiting(3, rate_key="y"), waiting(4)]
    found = choose(runs, policies, standing, 9)
    assert (found.picked, found.held) == ([2, 4], {1: rate_lane("x"), 3: rate_lane("y")})
    assert found.opens_in_s == {("a", rate_lane("x")): 7.0, ("a", rate_lane("y")): 10.0}


def test_a_lane_that_a_run_is_taken_from_closes_again() -> None:
    policies = {"a": RunPolicy(rate=Rate(1, 10, "subject"))}
    found = choose([waiting(1, lane=rate_lane("x"), rate_key="x")], policies, Standing(), 9)
    assert (found.picked, found.opens_in_s) == ([1], {("a", rate_lane("x")): 10.0})


def test_lanes_of_a_limit_that_is_gone_let_everything_go() -> None:
    runs = [waiting(1, lane=key_lane("x"), key="x"), waiting(2, lane=key_lane("x"), key="x")]
    assert choose(runs, {}, Standing(), 9).picked == [1, 2]


POLICIES: Mapping[str, RunPolicy] = {
    "a": RunPolicy(max_running=3, pool="p"),
    "b": RunPolicy(pool="p", concurrency=Concurrency("subject", at_most=2)),
    "c": RunPolicy(rate=Rate(2, 30), concurrency=Concurrency("subject")),
    "d": RunPolicy(rate=Rate(1, 20, "subject"), max_running=4),
}
keys = st.sampled_from(["x", "y", "z"]) | st.none()


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Candidate], Standing, int]:
    """Ready runs of limited and other pipelines, and what is taken already."""
    runs = []
    for run in range(draw(st.integers(0, 30))):
        pipeline = draw(st.sampled_from("abcdef"))
        rate_key = {"c": "", "d": draw(keys)}.get(pipeline)
        runs.append(
            Candidate(
                id=run,
                pipeline=pipeline,
                priority=draw(st.integers(-3, 3)),
                begun=draw(st.booleans()),
                waited_s=draw(st.floats(0, 600)),
                key=draw(keys) if pipeline in "bc" else None,
                rate_key=rate_key,
            )
        )
    counts = st.integers(0, 3)
    standing = Standing(
        running=Counter({name: draw(counts) for name in "abcd"}),
        of_key=Counter({(name, key): draw(st.integers(0, 2)) for name in "bc" for key in "xyz"}),
        taken=Counter(p=draw(counts)),
        capacity={"p": draw(st.integers(1, 5))},
        here=Counter({name: draw(counts) for name in "abcdef"}),
        starts={
            (name, key): sorted(draw(st.lists(st.floats(0, 40), max_size=3)))
            for name, key in [("c", ""), ("d", "x"), ("d", "y")]
        },
    )
    return runs, standing, draw(st.integers(0, 12))


def obstacle(one: Candidate, standing: Standing) -> bool:
    """Whether a run may not start, by the plain reading of each limit."""
    policy = POLICIES.get(one.pipeline)
    if policy is None:
        return False
    full = policy.max_running is not None and standing.running[one.pipeline] >= policy.max_running
    pool = policy.pool is not None and standing.taken[policy.pool] >= standing.capacity[policy.pool]
    limit = policy.concurrency
    busy = limit is not None and one.key is not None and standing.of_key[one.pipeline, one.key] >= limit.at_most
    early = False
    if policy.rate is not None and one.rate_key is not None and not one.begun:
        starts = standing.starts.get((one.pipeline, one.rate_key), [])
        early = sum(ago < policy.rate.per_s for ago in starts) >= policy.rate.runs
    return full or pool or busy or early


@given(worlds())
def test_no_limit_is_ever_exceeded(world: tuple[list[Candidate], Standing, int]) -> None:
    runs, standing, places = world
    replay = deepcopy(standing)
    found = choose(runs, POLICIES, standing, places)
    by_id = {one.id: one for one in runs}
    assert len(found.picked) <= places
    assert len(set(found.picked)) == len(found.picked)
    for run in found.picked:
        assert not obstacle(by_id[run], replay)
        replay.take(by_id[run], POLICIES.get(by_id[run].pipeline))


@given(worlds())
def test_what_is_left_while_there_are_places_may_not_start(world: tuple[list[Candidate], Standing, int]) -> None:
    runs, standing, places = world
    found = choose(runs, POLICIES, standing, places)
    if len(found.picked) < places:
        left = [one for one in runs if one.id not in found.picked]
        assert all(obstacle(one, standing) for one in left)


@given(worlds())
def test_runs_of_a_key_start_in_their_order(world: tuple[list[Candidate], Standing, int]) -> None:
    runs, standing, places = world
    found = choose(runs, POLICIES, standing, places)
    by_id = {one.id: one for one in runs}
    groups: dict[tuple[str, str | None], list[Candidate]] = {}
    for run in found.picked:
        groups.setdefault((by_id[run].pipeline, by_id[run].key), []).append(by_id[run])
    for picked in groups.values():
        assert picked == sorted(picked, key=lambda one: (not one.begun, -one.aged, one.id))


@given(worlds())
def test_what_waits_for_its_pipeline_is_in_no_lane(world: tuple[list[Candidate], Standing, int]) -> None:
    runs, standing, places = world
    found: Choice = choose(runs, POLICIES, standing, places)
    by_id = {one.id: one for one in runs}
    for run, lane in found.held.items():
        assert run not in found.picked
        assert (by_id[run].pipeline, lane) in found.opens_in_s
        assert lane in (key_lane(str(by_id[run].key)), rate_lane(str(by_id[run].rate_key)))
