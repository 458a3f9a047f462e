"""The policy for ticks nobody was there for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from triggers.errors import InvalidTrigger
from triggers.missed import MAX_RECORDED, MissedPolicy, Tick, judge

NOW = datetime(2026, 1, 2, 12, 30, tzinfo=UTC)


def ago(**how_long: float) -> datetime:
    return NOW - timedelta(**how_long)


def hourly(count: int) -> list[datetime]:
    return [ago(hours=hours) for hours in range(count, 0, -1)]


def runs(ticks: list[Tick]) -> list[datetime]:
    return [tick.due_at for tick in ticks if not tick.late]


def test_all_runs_every_missed_tick_in_the_order_they_were_due() -> None:
    assert runs(judge(hourly(5), NOW, MissedPolicy("all"))) == hourly(5)


def test_latest_runs_the_newest_and_says_of_the_others_why_not() -> None:
    ticks = judge(hourly(5), NOW, MissedPolicy("latest"))
    assert runs(ticks) == [ago(hours=1)]
    assert {tick.late for tick in ticks[:-1]} == {"missed: a newer one runs instead (missed='latest')"}


def test_none_runs_no_missed_tick() -> None:
    ticks = judge(hourly(5), NOW, MissedPolicy("none"))
    assert runs(ticks) == []
    assert all("does not catch up" in tick.late for tick in ticks)


@pytest.mark.parametrize("missed", ["all", "latest", "none"])
def test_what_was_due_within_the_last_minute_is_on_time_under_every_policy(missed: str) -> None:
    due = [ago(seconds=61), ago(seconds=60), ago(seconds=59), ago(seconds=0)]
    ticks = judge(due, NOW, MissedPolicy(missed))  # type: ignore[arg-type]
    assert runs(ticks) == (due if missed == "all" else due[1:])


@pytest.mark.parametrize("missed", ["all", "latest"])
def test_no_tick_older_than_the_maximum_age_runs(missed: str) -> None:
    policy = MissedPolicy(missed, max_age_s=7200)  # type: ignore[arg-type]
    assert runs(judge(hourly(5), NOW, policy)) == hourly(2 if missed == "all" else 1)
    stale = judge([ago(hours=3)], NOW, policy)
    assert [tick.late for tick in stale] == ["missed: 10800 s old before anyone could run it, max_age_s is 7200"]


def test_a_burst_is_limited_to_the_newest() -> None:
    ticks = judge(hourly(5), NOW, MissedPolicy("all", max_burst=2))
    assert runs(ticks) == [ago(hours=2), ago(hours=1)]
    assert "max_burst" in ticks[0].late


def test_a_long_absence_is_recorded_up_to_a_bound_and_summed_up_in_one() -> None:
    due = hourly(MAX_RECORDED + 50)
    ticks = judge(due, NOW, MissedPolicy("latest"))
    assert len(ticks) == MAX_RECORDED + 2
    assert [tick.due_at for tick in ticks] == due[48:]
    assert f"stands for every tick due from {due[0].isoformat()} to {due[48].isoformat()}" in ticks[0].late
    assert "stands for" not in ticks[1].late


def test_as_many_as_can_be_recorded_are_recorded() -> None:
    due = hourly(MAX_RECORDED + 1)
    assert [tick.due_at for tick in judge(due, NOW, MissedPolicy("latest"))] == due


@pytest.mark.parametrize("missed", ["all", "latest", "none"])
def test_the_newest_within_reach_give_the_same_answer_as_all_of_them(missed: str) -> None:
    policy = MissedPolicy(missed, max_burst=3)  # type: ignore[arg-type]
    due = [NOW - timedelta(seconds=second) for second in range(3000, -1, -1)]
    given = due[-policy.reach :]
    ticks = judge(given, NOW, policy, first=due[0])
    assert ticks[-1:] == judge(due, NOW, policy)[-1:]
    assert runs(ticks) == runs(judge(due, NOW, policy))
    assert f"stands for every tick due from {due[0].isoformat()}" in ticks[0].late


def test_nothing_due_is_nothing_judged() -> None:
    assert judge([], NOW, MissedPolicy()) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"missed": "some"}, "Choose 'all', 'latest' or 'none'"),
        ({"max_age_s": 0}, "max_age_s=0 is not positive"),
        ({"max_age_s": float("nan")}, "not positive"),
        ({"max_burst": 0}, "max_burst=0 is out of range"),
    ],
)
def test_a_wrong_policy_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        MissedPolicy(**wrong)  # type: ignore[arg-type]
    assert said in str(refused.value)
