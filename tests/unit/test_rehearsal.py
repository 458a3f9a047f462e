"""A rehearsal, one event after the other in a bounded memory, comes to what the policies say of all events at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from service.asking.rehearsal import Rehearsal
from service.shapes.answers import InboxEvent
from service.terms import terms_of
from stages.base import stage
from stages.pipeline import Pipeline
from triggers.admission import Happened, rehearse
from triggers.cloudevents import CloudEvents, to_json
from triggers.coalesce import Batch, Coalesce, Latest
from triggers.event import Event
from triggers.rate import RateLimit

START = datetime(2026, 1, 1, tzinfo=UTC)


@stage
async def count(events: list[Event]) -> int:
    return len(events)


POLICIES = st.one_of(
    st.none(),
    st.builds(Batch, st.integers(2, 4), st.sampled_from([1.0, 10.0]), st.sampled_from([None, "subject"])),
    st.builds(Latest, st.sampled_from([1.0, 5.0]), st.sampled_from([5.0, 20.0]), st.sampled_from([None, "subject"])),
)
RATES = st.one_of(st.none(), st.builds(RateLimit, st.integers(1, 3), st.sampled_from([2.0, 30.0])))


@settings(max_examples=150, deadline=None)
@given(POLICIES, RATES, st.lists(st.tuples(st.integers(0, 8), st.sampled_from("ab")), max_size=30))
def test_it_agrees_with_the_policies(
    coalesce: Coalesce | None, rate: RateLimit | None, steps: list[tuple[int, str]]
) -> None:
    trigger = CloudEvents(coalesce=coalesce, rate_limit=rate)
    pipeline = Pipeline("p", [count], on=[trigger])
    rehearsal, happened, at = Rehearsal(pipeline, trigger, trigger.name), [], START
    for number, (step, subject) in enumerate(steps):
        at += timedelta(seconds=step)
        event = Event(source="/s", id=str(number), type="t", time=at, subject=subject)
        one: InboxEvent = {
            "seq": number,
            "key": str(event.key),
            "accepted_at": at,
            "cloudevent": to_json(event),
            "outcomes": [],
        }
        rehearsal.see(one)
        terms = terms_of(trigger.handling, event, b"{}")
        happened.append(None if terms is None else Happened(at, "x", terms))
    answer = rehearsal.end(START, at)
    known = [one for one in happened if one is not None]
    if not known:
        assert (answer["runs_after"], answer["after"].get("ran", 0)) == (len(steps), len(steps))
        return
    runs, refused = rehearse(known)
    assert answer["runs_after"] == len(runs)
    assert sorted(one["events"] for one in answer["runs"]) == sorted(len(one.events) for one in runs)
    assert answer["after"].get("rate-limited", 0) == len(refused)


def test_it_keeps_no_more_than_what_gathers() -> None:
    trigger = CloudEvents(coalesce=Batch(2, 1.0, "subject"), rate_limit=RateLimit(5, 1.0))
    rehearsal = Rehearsal(Pipeline("p", [count], on=[trigger]), trigger, trigger.name)
    for number in range(5000):
        at = START + timedelta(seconds=number)
        event = Event(source="/s", id=str(number), type="t", time=at, subject=str(number % 3))
        rehearsal.see(
            {"seq": number, "key": str(event.key), "accepted_at": at, "cloudevent": to_json(event), "outcomes": []}
        )
    admission = rehearsal._admission
    assert len(rehearsal._open) < 5
    assert len(admission.runs) < 5
    assert max(map(len, admission.began.values())) <= 5
    rehearsal.end(START, at)
    assert (len(rehearsal.changed), rehearsal.changes) == (1000, 5000)
