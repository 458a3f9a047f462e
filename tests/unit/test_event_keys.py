"""The key of an event is its source and id, today and in ten years: databases are full of them."""

from __future__ import annotations

from uuid import UUID

from triggers.event import event_key


def test_the_key_of_an_event_never_changes() -> None:
    assert event_key("ci", "1") == UUID("f94dfa83-d02b-cd0a-0ec3-b705c316fb1d")


def test_the_same_id_of_two_sources_is_two_events_wherever_one_ends_and_the_other_begins() -> None:
    assert len({event_key("ci", "1"), event_key("cd", "1"), event_key("c", "i1"), event_key("ci1", "")}) == 4
