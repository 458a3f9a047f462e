"""What a feed remembers: which file to read now, which to look at again, and when."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from triggers.base import Binding, Position
from triggers.files import Files
from triggers.files.feed import HINTS_KEPT, Feed
from triggers.files.policy import Promise, Verdict
from triggers.files.scan import Survey
from triggers.files.stamp import Found

FILE = Found("/r/in/a.csv", "in/a.csv", "1:1:1:1", 1, 1, (0,), Verdict.UNCHANGED_FIRST)
CHANGED = replace(FILE, stamp="2:2:2:1")
SETTLED = replace(FILE, verdict=Verdict.READY)


def feed_of(*triggers: Files) -> Feed:
    triggers = triggers or (Files("in/*.csv", stable_s=1.0),)
    return Feed(triggers[0].policy, [Binding("p", trigger) for trigger in triggers], "/r", threading.Event())


@pytest.fixture
def feed() -> Feed:
    return feed_of()


def test_a_file_is_read_once_it_was_the_same_for_long_enough(feed: Feed) -> None:
    assert not feed.notice(FILE, 10.0)
    assert feed.due_at_s() == 11.0
    assert not feed.notice(CHANGED, 10.9)
    assert feed.due(11.0, 500) == []
    assert feed.due(11.9, 500) == ["in/a.csv"]
    assert feed.notice(CHANGED, 11.9)
    assert (feed.due_at_s(), feed.lag) == (None, 1)


def test_a_file_in_hand_is_not_read_twice(feed: Feed) -> None:
    assert feed.notice(SETTLED, 10.0)
    assert not feed.notice(SETTLED, 10.0)
    feed.accepted(SETTLED, 10.1)
    assert feed.due_at_s() is None


def test_a_file_accepted_after_a_scan_had_found_it_new_is_not_read_again(feed: Feed) -> None:
    assert feed.notice(SETTLED, 10.0)
    feed.accepted(SETTLED, 10.0)
    assert not feed.notice(SETTLED, 10.1)


def test_a_file_that_changes_in_hand_is_looked_at_again(feed: Feed) -> None:
    assert feed.notice(SETTLED, 10.0)
    assert not feed.notice(replace(CHANGED, verdict=Verdict.READY), 10.1)
    feed.accepted(SETTLED, 10.2)
    assert feed.due(11.2, 500) == ["in/a.csv"]
    assert feed.wake.is_set()


def test_a_file_that_could_not_be_read_to_its_end_is_looked_at_again(feed: Feed) -> None:
    assert feed.notice(SETTLED, 10.0)
    feed.release(SETTLED, 10.0, again=True)
    assert feed.due(11.0, 500) == ["in/a.csv"]
    assert feed.notice(SETTLED, 11.0)


def test_a_refused_file_is_read_again_only_when_it_or_its_manifest_changes(feed: Feed) -> None:
    promised = replace(SETTLED, promises={"a.csv": Promise(1, "md5", "x")})
    feed.refuse(promised, "wrong")
    assert feed.refusal(promised) == "wrong"
    assert feed.refusal(replace(promised, stamp="2:2:2:1")) is None
    assert feed.refusal(replace(promised, promises={"a.csv": Promise(1, "md5", "y")})) is None


def test_files_seen_before_a_restart_are_known_until_they_change(feed: Feed) -> None:
    feed.remember(0, {"in/a.csv": f"{FILE.stamp}:0123abcd"})
    assert not feed.is_new(FILE.key, FILE.mark, (0,))
    assert feed.is_new(CHANGED.key, CHANGED.mark, (0,))


def test_a_pattern_that_has_not_seen_a_file_makes_it_new_for_all() -> None:
    feed = feed_of(Files("in/*.csv"), Files("in/**"))
    feed.remember(0, {"in/a.csv": f"{FILE.stamp}:0123abcd"})
    assert feed.is_new(FILE.key, FILE.mark, (0, 1))
    both = replace(FILE, patterns=(0, 1))
    assert [binding.trigger.pattern for binding in feed.listening_to(both)] == ["in/*.csv", "in/**"]


def test_the_scopes_of_positions_differ_by_pattern_and_policy_but_not_by_pipeline() -> None:
    triggers = [Files("in/*"), Files("in/**"), Files("in/*", stable_s=2), Files("in/*", poll=True)]
    triggers += [Files("in/*", complete="marker"), Files("in/*", digest=False)]
    scopes = {feed_of(trigger).scopes[0] for trigger in triggers}
    assert len(scopes) == len(triggers)
    assert feed_of(Files("in/*", name="other")).scopes[0] in scopes
    assert feed_of(triggers[0]).scope_of(feed_of(triggers[0]).patterns[0], other_identity=True) in scopes


def test_too_many_hints_become_one_scan(feed: Feed) -> None:
    feed.begin_scan()
    feed.surveyed(Survey(), 10.0, took_s=0.0, interval_s=60.0)
    feed.hint([f"/r/in/{number}" for number in range(HINTS_KEPT + 1)], 20.0)
    assert feed.take_hints() == set()
    assert feed.scan_at_s == 20.0


def test_a_scan_asked_for_during_a_scan_is_not_forgotten(feed: Feed) -> None:
    feed.begin_scan()
    feed.ask_scan(10.0)
    feed.surveyed(Survey(), 12.0, took_s=1.0, interval_s=60.0)
    assert feed.scan_at_s == 10.0


def test_scans_that_are_asked_for_leave_the_disk_some_rest(feed: Feed) -> None:
    feed.begin_scan()
    feed.surveyed(Survey(), 10.0, took_s=2.0, interval_s=60.0)
    feed.ask_scan(11.0)
    assert feed.scan_at_s == 30.0


def test_a_clock_set_back_is_noticed(feed: Feed) -> None:
    feed.surveyed(Survey(), 10.0, took_s=0.0, interval_s=60.0)
    assert feed.clock_set_back(9.0)
    assert not feed.clock_set_back(10.0)


def test_a_file_is_forgotten_once_it_was_gone_at_every_look_for_an_hour(feed: Feed) -> None:
    feed.accepted(FILE, 0.0)
    key = FILE.key
    assert feed.long_gone(0, [key], 10.0) == []
    assert feed.long_gone(0, [], 1_000.0) == [], "it is back"
    assert feed.long_gone(0, [key], 2_000.0) == []
    assert feed.long_gone(0, [key], 10.0) == [], "the clock was set back: the wait begins there"
    assert feed.long_gone(0, [key], 3_609.0) == []
    assert feed.long_gone(0, [key], 3_610.0) == [key]
    assert feed.forget(0, [key]) == [Position(feed.scopes[0], key, "")]
    assert feed.is_new(key, FILE.mark, (0,))


def test_what_a_look_finds_in_order_is_left_out_no_longer() -> None:
    feed = feed_of(Files("*.csv"))
    feed.leave_out({"/r/manifest.json": "it is not a manifest", "/r/b.csv": "cannot be read"})
    feed.leave_out({"/r/a.csv": "its sha256 is another"}, ["/r/manifest.json"])
    assert list(feed.troubles) == ["/r/b.csv", "/r/a.csv"]
