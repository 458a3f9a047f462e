"""What the machine decides of mapped stages, skipped ones, sub-runs, clean-ups and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from service.machine import Check, Close, Collect, Gather, Park, Skip, Split, Start, decide, ended
from service.model import AttemptState, Checked, GateState, Items, RunState, RunView, Tried
from stages import Pipeline, Retry, RunEnd, stage
from stages.artifacts import ArtifactRef

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUTPUT = ArtifactRef("a" * 64, "json", 1, b"1")


@stage
def files() -> list[int]:
    return [1, 2, 3]


@stage(map="files", at_once=2, retry=Retry(max_attempts=2, total_s=60))
async def score(files: int) -> int:
    return files


@stage
def total(score: list[int]) -> int:
    return sum(score)


@stage
def maybe(total: int | None, files: list[int] | None) -> int:
    return 1


@stage
def mend(end: RunEnd) -> None: ...


@stage
def undo(end: RunEnd) -> None: ...


@stage
def tidy(end: RunEnd) -> None: ...


def positive(output: int) -> bool:
    return output > 0


PLAN = Pipeline("mapped", [files, score, total, maybe], gates={("total", "maybe"): positive}).plan
HOOKED = Pipeline("hooked", [files], on_failure=mend, on_cancel=undo, finally_=tidy).plan


def tried(state: AttemptState, attempt: int = 1, **more: object) -> Tried:
    output = OUTPUT if state in (AttemptState.SUCCEEDED, AttemptState.REUSED) else None
    return Tried(attempt, state, output=output, **more)  # type: ignore[arg-type]


def view(**stages: AttemptState) -> RunView:
    run = RunView()
    for name, state in stages.items():
        run.record(name, tried(state))
    return run


def split(run: RunView, count: int) -> RunView:
    numbers = dict.fromkeys(range(count))
    run.items["score"] = Items([OUTPUT] * count, numbers, untried=dict(numbers))
    return run


def test_a_mapped_stage_is_split_first_and_only_once() -> None:
    run = view(files=AttemptState.SUCCEEDED)
    assert decide(PLAN, run, NOW) == [Split("score")]
    run.under_way.add("score")
    assert decide(PLAN, run, NOW) == []


def test_no_more_items_are_under_way_than_it_says() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 4)
    assert decide(PLAN, run, NOW) == [Start("score", 1, 0), Start("score", 1, 1)]
    run.begin("score", 0, 1, NOW)
    assert decide(PLAN, run, NOW) == [Start("score", 1, 1)]
    run.begin("score", 1, 1, NOW)
    assert decide(PLAN, run, NOW) == []
    run.record("score", tried(AttemptState.SUCCEEDED), 0)
    assert decide(PLAN, run, NOW) == [Start("score", 1, 2)]


def test_an_item_that_is_due_again_comes_before_those_never_tried_and_waits_for_a_place() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 4)
    for item in (0, 1):
        run.begin("score", item, 1, NOW)
    run.record("score", tried(AttemptState.FAILED, transient=True, retry_at=NOW + timedelta(seconds=5)), 0)
    assert decide(PLAN, run, NOW) == [Start("score", 1, 2)]
    run.begin("score", 2, 1, NOW)
    due = NOW + timedelta(seconds=5)
    assert decide(PLAN, run, due) == []
    run.record("score", tried(AttemptState.SUCCEEDED), 1)
    assert decide(PLAN, run, due) == [Start("score", 2, 0)]


def test_a_sub_run_is_collected_once() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 1)
    run.record("score", tried(AttemptState.WAITING, child=RunState.SUCCEEDED), 0)
    assert decide(PLAN, run, NOW) == [Collect("score", 1, 0)]
    run.take("score", 0)
    assert decide(PLAN, run, NOW) == []


def test_an_item_that_waits_for_its_retry_gives_its_place_to_others() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 3)
    due = NOW + timedelta(seconds=5)
    run.record("score", tried(AttemptState.FAILED, transient=True, retry_at=due), 0)
    assert decide(PLAN, run, NOW) == [Start("score", 1, 1), Start("score", 1, 2)]
    for item in (1, 2):
        run.record("score", tried(AttemptState.SUCCEEDED), item)
    assert decide(PLAN, run, NOW) == (Park(due),)
    assert decide(PLAN, run, due) == [Start("score", 2, 0)]


def test_items_that_wait_for_sub_runs_keep_their_places_and_are_collected_when_those_end() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 3)
    for item in (0, 1):
        run.record("score", tried(AttemptState.WAITING, child=RunState.RUNNING), item)
    assert decide(PLAN, run, NOW) == (Park(None),)
    run.record("score", tried(AttemptState.WAITING, child=RunState.FAILED), 1)
    assert decide(PLAN, run, NOW) == [Collect("score", 1, 1)]


def test_the_results_are_gathered_once_every_item_has_one() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 2)
    for item in (0, 1):
        run.record("score", tried(AttemptState.SUCCEEDED), item)
    assert decide(PLAN, run, NOW) == [Gather("score", 1)]


def test_items_that_are_hopeless_end_the_run_once_every_other_item_has_been_tried() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 4)
    run.record("score", tried(AttemptState.FAILED), 0)
    assert decide(PLAN, run, NOW) == [Start("score", 1, 1), Start("score", 1, 2)]
    run.record("score", tried(AttemptState.SUCCEEDED), 1)
    run.record("score", tried(AttemptState.FAILED), 2)
    run.begin("score", 3, 1, NOW)
    assert decide(PLAN, run, NOW) == []
    run.record("score", tried(AttemptState.SUCCEEDED), 3)
    reason = "item 0: a permanent failure, and 1 other items failed"
    assert decide(PLAN, run, NOW) == (Close(RunState.FAILED, "score", reason),)


def test_an_item_that_may_be_tried_again_is_waited_for_before_the_run_ends() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 2)
    due = NOW + timedelta(seconds=5)
    run.record("score", tried(AttemptState.FAILED), 0)
    run.record("score", tried(AttemptState.FAILED, transient=True, retry_at=due), 1)
    assert decide(PLAN, run, NOW) == (Park(due),)


def test_what_cannot_do_without_a_skipped_input_is_skipped_and_what_can_is_not() -> None:
    run = view(files=AttemptState.SKIPPED)
    assert decide(PLAN, run, NOW) == [Skip("score", 1, "its input files was skipped")]
    run.record("score", tried(AttemptState.SKIPPED))
    assert decide(PLAN, run, NOW) == [Skip("total", 1, "its input score was skipped")]
    run.record("total", tried(AttemptState.SKIPPED))
    assert decide(PLAN, run, NOW) == [Start("maybe", 1)], "the gate on the skipped arrow has nothing to check"


def test_a_gate_after_a_stage_that_was_not_skipped_is_checked() -> None:
    run = view(files=AttemptState.SUCCEEDED, score=AttemptState.SUCCEEDED, total=AttemptState.SUCCEEDED)
    assert [type(move) for move in decide(PLAN, run, NOW)] == [Check]


def test_the_time_over_all_attempts_counts_the_wait_for_the_next() -> None:
    run = split(view(files=AttemptState.SUCCEEDED), 1)
    run.begin("score", 0, 1, NOW)
    late = NOW + timedelta(seconds=61)
    run.record("score", tried(AttemptState.FAILED, transient=True, retry_at=late), 0)
    [close] = decide(PLAN, run, NOW)
    assert close == Close(RunState.FAILED, "score", "item 0: its 60 s over all attempts are used up")


def test_the_time_of_a_run_ends_it_and_bounds_its_waits() -> None:
    run = view(files=AttemptState.SUCCEEDED)
    run.deadline = NOW + timedelta(seconds=10)
    split(run, 1).record("score", tried(AttemptState.WAITING), 0)
    assert decide(PLAN, run, NOW) == (Park(run.deadline),)
    assert decide(PLAN, run, run.deadline) == (Close(RunState.FAILED, "", "the run's time was over"),)


def test_a_run_that_is_done_is_not_ended_by_anything_any_more() -> None:
    run = view(files=AttemptState.SUCCEEDED)
    run.cancel = run.expired = True
    assert ended(HOOKED, run, NOW) is None
    assert decide(HOOKED, run, NOW) == [Start("tidy", 1)]


def test_clean_ups_come_one_after_the_other_and_then_the_end() -> None:
    run = view(files=AttemptState.FAILED)
    assert decide(HOOKED, run, NOW) == [Start("mend", 1)]
    run.begin("mend", -1, 1, NOW)
    assert decide(HOOKED, run, NOW) == ()
    run.record("mend", tried(AttemptState.FAILED))
    assert decide(HOOKED, run, NOW) == [Start("tidy", 1)], "a clean-up that fails for good does not stop the others"
    run.record("tidy", tried(AttemptState.SUCCEEDED))
    assert decide(HOOKED, run, NOW) == (Close(RunState.FAILED, "files", "a permanent failure"),)


def test_a_clean_up_waits_for_its_retry_without_a_worker() -> None:
    run = view(files=AttemptState.FAILED)
    due = NOW + timedelta(seconds=3)
    run.record("mend", tried(AttemptState.FAILED, transient=True, retry_at=due))
    assert decide(HOOKED, run, NOW) == (Park(due),)


def test_a_cancelled_run_undoes_and_one_that_tried_nothing_just_ends() -> None:
    run = RunView(cancel=True)
    assert decide(HOOKED, run, NOW) == (Close(RunState.CANCELLED, reason="cancelled on request"),)
    run = view(files=AttemptState.CANCELLED)
    run.cancel = True
    assert decide(HOOKED, run, NOW) == [Start("undo", 1)]


def test_a_gate_that_waits_holds_only_what_is_behind_it() -> None:
    run = view(files=AttemptState.SUCCEEDED, score=AttemptState.SUCCEEDED, total=AttemptState.SUCCEEDED)
    run.gates[PLAN.gates["total", "maybe"][0].name] = Checked(GateState.WAITING, OUTPUT.digest)
    assert decide(PLAN, run, NOW) == (Park(None),)


def test_a_result_that_counts_no_longer_is_made_again_and_its_takers_wait() -> None:
    run = view(files=AttemptState.SKIPPED)
    assert (run.done, run.skipped) == ({"files"}, {"files"})
    run.put("files", tried(AttemptState.CANCELLED))
    assert (run.done, run.skipped) == (set(), set())
    assert decide(PLAN, run, NOW) == [Start("files", 2)]
    run.record("files", tried(AttemptState.SUCCEEDED, 2))
    assert decide(PLAN, run, NOW) == [Split("score")]
