"""Equal keys mean equal results: a key holds what the result depends on, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from stages import Event, Pipeline, Records, Retry, stage
from stages.artifacts import ArtifactRef, digest_of
from stages.plan import Source, StageKey, stage_key
from triggers.event import events_key

SAME: dict[str, Any] = {"inputs": {"made": "json@aa"}, "params_digest": "p", "event_key": UUID(int=1)}


class Params(BaseModel):
    n: int = 1


def made() -> int:
    return 1


def work(made: int) -> int:
    return made


def with_params(made: int, params: Params) -> int:
    return made


def with_event(made: int, event: Event) -> int:
    return made


def with_records(made: int, records: Records) -> int:
    return made


def key(function: Any = work, settings: Any = None, **changes: Any) -> StageKey:
    declared = stage(**settings)(function) if settings else stage(function)
    plan = Pipeline("keys", [stage(made), declared]).plan
    return stage_key(plan.stages[declared.name], **(SAME | changes))


def test_a_key_is_the_same_each_time() -> None:
    assert key() == key()


@pytest.mark.parametrize(
    ("function", "depends"),
    [(work, set()), (with_params, {"params_digest"}), (with_event, {"event_key"}), (with_records, {"event_key"})],
)
def test_a_key_holds_params_and_event_only_where_the_stage_takes_them(function: Any, depends: set[str]) -> None:
    changed = {"params_digest": "q", "event_key": UUID(int=2)}
    assert {name for name, new in changed.items() if key(function, **{name: new}) != key(function)} == depends


def test_a_key_holds_inputs_and_environment() -> None:
    assert key(inputs={"made": "json@ab"}) != key()
    assert key(environment_digest="sha256:1") != key()


def test_a_key_does_not_hold_how_a_stage_is_run() -> None:
    assert key(settings={"retry": Retry(max_attempts=9), "timeout_s": 3, "reuse": "run", "runner": "process"}) == key()


def test_stages_of_one_code_in_two_pipelines_share_their_results() -> None:
    other = Pipeline("others", [stage(made), stage(work)])
    assert stage_key(other.plan.stages["work"], **SAME) == key()


def test_the_lock_of_a_stage_is_in_its_key(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requirements-train.lock").write_text("polars==1")
    one = key(settings={"environment": "requirements-train.lock"})
    (tmp_path / "requirements-train.lock").write_text("polars==2")
    assert len({one, key(settings={"environment": "requirements-train.lock"}), key()}) == 3


def test_the_same_bytes_of_another_codec_are_another_input() -> None:
    digest = digest_of(b"1")
    one, other = ArtifactRef(digest, "json", 1, b"1"), ArtifactRef(digest, "bytes", 1, b"1")
    assert key(inputs={"made": one.identity}) != key(inputs={"made": other.identity})


def with_events(made: int, events: list[Event]) -> int:
    return made


def with_more_events(made: int, several: Sequence[Event]) -> int:
    return made


def test_a_stage_that_takes_all_events_has_them_in_its_key() -> None:
    for function in (with_events, with_more_events):
        assert key(function) != key(function, event_key=UUID(int=2))
        plan = Pipeline("keys", [stage(made), stage(function)]).plan
        assert [argument.source for argument in plan.stages[function.__name__].arguments][1] is Source.EVENTS


def test_several_events_are_told_apart_by_all_of_them_and_their_order() -> None:
    one, two, three = (UUID(int=number) for number in range(3))
    assert events_key([one]) == one
    assert len({events_key(keys) for keys in ([one, two], [two, one], [one, two, three], [one])}) == 4
