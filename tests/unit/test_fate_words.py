"""What became of an event is told in one sentence."""

from __future__ import annotations

from service.shapes.answers import OutcomeShape
from service.shapes.replays import ReplayOf
from service.words.fates import told


def outcome(pipeline: str, fate: str, reason: str = "", run: int | None = None) -> OutcomeShape:
    return {"pipeline": pipeline, "trigger": "via", "fate": fate, "reason": reason, "run": run}


def replay(run: int, pipeline: str, *, shadow: bool) -> ReplayOf:
    return {"run": run, "pipeline": pipeline, "version": "v", "state": "queued", "shadow": shadow}


IGNORED = [outcome(name, "ignored", f"filter: {name}") for name in ("a", "c", "e")]


def test_what_it_started_comes_first_and_those_that_ignored_it_are_counted() -> None:
    found = [IGNORED[0], outcome("b", "coalesced", run=5), IGNORED[1], outcome("d", "ran", run=6), IGNORED[2]]
    assert told(found) == (
        "It started run 6 of d by via; It was coalesced into run 5 of b by via; 3 other pipelines ignored it"
    )
    assert told(found[:2]).endswith("; 1 other pipeline ignored it")


def test_ignored_by_all_it_tells_one_reason() -> None:
    assert told(IGNORED) == "It started nothing in a: ignored, filter: a (via); 2 other pipelines ignored it"
    assert told([]) == "It started nothing: no pipeline listens for this event"


def test_a_run_that_was_started_later_is_named_unless_it_is_in_shadow() -> None:
    held = [outcome("b", "paused", "kim paused it")]
    replays = [replay(3, "b", shadow=False), replay(4, "b", shadow=True), replay(5, "other", shadow=False)]
    assert (
        told(held, replays)
        == "It started nothing in b: paused, kim paused it (via), but run 3 was started for it since"
    )
    assert told(held, replays[1:]) == "It started nothing in b: paused, kim paused it (via)"
