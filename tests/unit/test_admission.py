"""Which events share a run, and which are too many: the pure policy that the inbox asks."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import Concurrency, Event, Pipeline, stage
from triggers import Batch, CloudEvents, KafkaBatches, Latest, Manual, RateLimit, Webhook
from triggers.admission import Happened, Terms, rehearse
from triggers.coalesce import MOST_EVENTS, Coalesce
from triggers.errors import InvalidTrigger
from triggers.where import check_where

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def told(coalesce: Coalesce | None, *at_s: float, limit: RateLimit | None = None) -> list[tuple[list[int], float]]:
    """The runs of events at these seconds: their events, and when they are due."""
    runs, _ = rehearse([Happened(after(at), "t", Terms(coalesce, "", limit)) for at in at_s])
    return [(list(run.events), (run.due_at - START).total_seconds()) for run in runs]


def test_without_coalescing_each_event_has_a_run_that_is_due_at_once() -> None:
    assert told(None, 0, 0, 5) == [([0], 0), ([1], 0), ([2], 5)]


def test_a_batch_is_due_when_it_is_full_or_its_first_event_has_waited() -> None:
    assert told(Batch(3, 10), 0, 1, 2, 3, 14) == [([0, 1, 2], 2), ([3], 13), ([4], 24)]


def test_a_flurry_is_due_after_quiet_and_after_the_longest_wait_at_the_latest() -> None:
    assert told(Latest(2, 5), 0, 1, 2.5, 10, 11.5, 13, 14.5, 15.5) == [
        ([0, 1, 2], 4.5),
        ([3, 4, 5, 6], 15),
        ([7], 17.5),
    ]


def test_keys_and_triggers_have_runs_of_their_own() -> None:
    batch = Batch(2, 10)
    places = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")]
    runs, _ = rehearse([Happened(START, scope, Terms(batch, key)) for scope, key in places])
    assert [list(run.events) for run in runs] == [[0, 3], [1], [2]]


def test_a_rate_counts_runs_and_not_the_events_that_join_them() -> None:
    terms = Terms(Batch(2, 10), "", RateLimit(1, 100))
    runs, refused = rehearse([Happened(after(at), "t", terms) for at in (0, 1, 2, 100.5)])
    assert [list(run.events) for run in runs] == [[0, 1], [3]]
    assert refused == {2: "this trigger starts at most 1 run in 100 s (rate_limit)"}


def test_a_refusal_names_the_key_whose_rate_it_is() -> None:
    limit = RateLimit(1, 100, key="data.customer")
    asked = [Terms(rate_limit=limit, rate_key=key) for key in ("=a", "=b", "=a", "=x\0", "=x\0", "", "")]
    _, refused = rehearse([Happened(after(at), "t", terms) for at, terms in enumerate(asked)])
    told = "this trigger starts at most 1 run in 100 s for {} (rate_limit)"
    assert refused == {
        2: told.format("data.customer=a"),
        4: told.format("data.customer='x\\x00'"),
        6: told.format("events without data.customer"),
    }


SECONDS = st.lists(st.floats(0, 100, allow_nan=False).map(lambda at: round(at, 3)), max_size=60).map(sorted)
POLICIES = st.one_of(
    st.none(),
    st.builds(Batch, st.integers(2, 6), st.sampled_from([0.5, 3.0, 20.0])),
    st.builds(Latest, st.sampled_from([0.5, 3.0]), st.sampled_from([3.0, 10.0])),
)
LIMITS = st.one_of(st.none(), st.builds(RateLimit, st.integers(1, 4), st.sampled_from([1.0, 10.0])))


@given(SECONDS, POLICIES, LIMITS, st.integers(1, 3))
def test_every_event_is_in_exactly_one_run_or_refused(
    at_s: list[float], coalesce: Any, limit: RateLimit | None, keys: int
) -> None:
    offered = [Happened(after(at), "t", Terms(coalesce, str(n % keys), limit, "")) for n, at in enumerate(at_s)]
    runs, refused = rehearse(offered)
    found = sorted([number for run in runs for number in run.events] + list(refused))
    assert found == list(range(len(at_s)))
    for run in runs:
        assert list(run.events) == sorted(run.events)
        assert len({offered[number].terms.gather_key for number in run.events}) == 1
    if limit is not None:
        opened = [offered[run.events[0]].at for run in runs]
        for at in opened:
            assert sum(at - timedelta(seconds=limit.per_s) < other <= at for other in opened) <= limit.runs


@given(SECONDS, st.integers(2, 6), st.sampled_from([0.5, 3.0, 20.0]))
def test_no_batch_is_too_large_or_waits_too_long(at_s: list[float], most: int, wait_s: float) -> None:
    for events, due_s in told(Batch(most, wait_s), *at_s):
        first, last = at_s[events[0]], at_s[events[-1]]
        assert len(events) <= most
        assert due_s == pytest.approx(last if len(events) == most else first + wait_s)
        assert last <= due_s + 1e-6


@given(SECONDS, st.sampled_from([0.5, 3.0]), st.sampled_from([3.0, 10.0]))
def test_a_flurry_is_due_exactly_after_quiet_or_the_longest_wait(
    at_s: list[float], quiet_s: float, wait_s: float
) -> None:
    runs = told(Latest(quiet_s, wait_s), *at_s)
    for events, due_s in runs:
        first, last = at_s[events[0]], at_s[events[-1]]
        assert due_s == pytest.approx(min(first + wait_s, last + quiet_s))
    for (_, due_s), (events, _) in pairwise(runs):
        assert at_s[events[0]] >= due_s - 1e-6


def test_a_flurry_that_never_ends_is_cut_where_one_run_would_hold_too_much() -> None:
    runs, _ = rehearse([Happened(START, "t", Terms(Latest(1, 1)))] * (MOST_EVENTS + 1))
    assert [len(run.events) for run in runs] == [MOST_EVENTS, 1]


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda: Batch(1, 5), "Batch: max_events=1: give a whole number from 2 to 10000"),
        (lambda: Batch(True, 5), "Batch: max_events=True"),
        (lambda: Batch(2, 0), "Batch: max_wait_s=0: give seconds"),
        (lambda: Batch(2, "5"), "Batch: max_wait_s='5'"),
        (lambda: Batch(2, 5, key="a..b"), "Batch: key='a..b' is no path into the event"),
        (lambda: Latest(float("nan"), 5), "Latest: quiet_s=nan"),
        (lambda: Latest(6, 5), "Latest: max_wait_s=5 is shorter than quiet_s=6"),
        (lambda: RateLimit(0, 5), "RateLimit: runs=0"),
        (lambda: RateLimit(1, -1), "RateLimit: per_s=-1"),
        (lambda: RateLimit(1, 1, key=""), "RateLimit: key=''"),
        (lambda: KafkaBatches("t", coalesce=Batch(2, 5)), "kafka-batches:t: its events are batches already"),
        (lambda: Manual(coalesce="each"), "manual: coalesce='each': give Batch(max_events, max_wait_s)"),
        (lambda: Manual(rate_limit=5), "manual: rate_limit=5: give RateLimit(runs, per_s)"),
        (lambda: Manual(missed="some"), "manual: missed='some' is not known. Choose 'all', 'latest' or 'none'."),
        (lambda: Manual(max_age_s=0), "manual: max_age_s=0 is not positive"),
        (lambda: Manual(max_burst=0), "manual: max_burst=0 is out of range"),
        (lambda: Manual(concurrency_key="."), "manual: concurrency_key='.' is no path into the event"),
        (lambda: Manual(priority=101), "manual: priority=101: give a whole number from -100 to 100"),
        (lambda: Manual(priority=True), "manual: priority=True"),
        (lambda: Manual(enabled="no"), "manual: enabled='no': give True or False"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_when_it_is_declared(make: Any, wrong: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        make()
    assert str(refused.value).startswith(wrong)


def test_what_the_documents_show_can_be_declared() -> None:
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
    declared, argument, pipeline, where = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(declared, "docs/events.md", "exec"), {})
    names = {"stage": stage, "Event": Event, "pl": SimpleNamespace(DataFrame=dict), "Concurrency": Concurrency}
    exec(compile(argument, "docs/events.md", "exec"), names)
    names |= {"Pipeline": Pipeline, "CloudEvents": CloudEvents, "Webhook": Webhook}
    exec(compile(pipeline.replace("[...]", "[load]"), "docs/events.md", "exec"), names)
    exec(compile(where, "docs/events.md", "exec"), names)
    check_where(names["where"], "docs")
