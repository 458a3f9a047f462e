"""A wrong value in a declaration is refused when the pipeline is put together, with the place of its function."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages import Concurrency, Event, InvalidPipeline, Pipeline, Rate, Retry, Stage, load, stage
from stages.base import StageSettings
from stages.policy import RULES as POLICY_RULES
from stages.policy import RunSettings
from stages.retry import RULES as RETRY_RULES
from stages.settings import RULES

declare: Any = stage


def ingest(event: Event) -> list[int]:
    return []


def score(ingest: int) -> int:
    return ingest


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def refused(stages: Any, **settings: Any) -> list[str]:
    with pytest.raises(InvalidPipeline) as caught:
        Pipeline("flights", stages, **settings)
    first, *told = str(caught.value).splitlines()
    assert first == "pipeline 'flights' does not join up:"
    return told


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"resources": {"cpu": "x"}}, "resources={'cpu': 'x'}: give amounts by name, none below 0"),
    ({"resources": {"cpu": -1}}, "resources={'cpu': -1}: give amounts by name"),
    ({"resources": {"cpu": True}}, "resources={'cpu': True}: give amounts by name"),
    ({"resources": {"cpu": float("nan")}}, "resources={'cpu': nan}: give amounts by name"),
    ({"resources": {"cpu": 10**400}}, "resources={'cpu': 10"),
    ({"resources": {1: 1}}, "resources={1: 1}: give amounts by name"),
    ({"resources": ["gpu"]}, "resources=['gpu']: give amounts by name"),
    ({"reuse": "sometimes"}, "reuse='sometimes': give 'always' or 'run' or 'never'"),
    ({"reuse": ["run"]}, "reuse=['run']: give 'always' or"),
    ({"retry": 3}, "retry=3: give a Retry, as in retry=Retry(max_attempts=3)"),
    ({"memory_bytes": "2GB"}, "memory_bytes='2GB': give a whole number of bytes, more than 0"),
    ({"memory_bytes": -5}, "memory_bytes=-5: give a whole number of bytes"),
    ({"memory_bytes": 1.5}, "memory_bytes=1.5: give a whole number of bytes"),
    ({"memory_bytes": 2**63}, "memory_bytes=9223372036854775808: give a whole number of bytes"),
    ({"timeout_s": "5"}, "timeout_s='5': give a number of seconds, more than 0"),
    ({"timeout_s": 0}, "timeout_s=0: give a number of seconds"),
    ({"timeout_s": True}, "timeout_s=True: give a number of seconds"),
    ({"timeout_s": 1e300}, "timeout_s=1e+300: give a number of seconds"),
    ({"heartbeat_s": Unprintable()}, "heartbeat_s=<Unprintable instance at "),
    ({"expires_s": "5m"}, "expires_s='5m': give a number of seconds"),
    ({"cpu_s": "1m"}, "cpu_s='1m': give a number of seconds"),
    ({"map": "ingest", "at_once": "x"}, "at_once='x': give a whole number of at least 1"),
    ({"map": "ingest", "at_once": 0}, "at_once=0: give a whole number of at least 1"),
    ({"map": 1}, "map=1: give the name of one of its inputs"),
    ({"after": "lst"}, "after='lst': give a list of names of stages, as in after=['ingest']"),
    ({"after": [1]}, "after=[1]: give a list of names of stages"),
    ({"after": 1}, "after=1: give a list of names of stages"),
    ({"at_once": 4}, "at_once=4 is for a mapped stage: name its list too, map=..."),
    ({"reuse": "never", "expires_s": 5}, "reuse='never' keeps no result that could expire: leave out expires_s=5"),
    ({"when": "sunny"}, "when='sunny': give a function of some of its arguments"),
    ({"when": bool}, "when=<class 'bool'>: give a function of some of its arguments"),
    ({"runner": 1}, "runner=1: give the name of a runner"),
    ({"environment": Path("a.lock")}, "environment=PosixPath('a.lock'): give the name of a lock file"),
    ({"image": ""}, "image='': give the name of an image, by digest"),
]


@pytest.mark.parametrize(("settings", "message"), WRONG)
@pytest.mark.parametrize("where", ["stages", "on_failure"])
def test_a_wrong_setting_is_told_with_the_place_of_its_function(
    settings: dict[str, Any], message: str, where: str
) -> None:
    wrong = declare(**settings)(score)
    told = refused([stage(ingest), wrong]) if where == "stages" else refused([stage(ingest)], on_failure=wrong)
    line = score.__code__.co_firstlineno
    assert len(told) == 1, told
    assert re.match(rf"  (.*/)?{re.escape(Path(__file__).name)}:{line}: stage 'score': ", told[0])
    assert message in told[0]


def test_all_wrong_settings_are_told_at_once() -> None:
    wrong: list[Any] = [declare(retry=3, timeout_s="5")(ingest), declare(name=["score"], after="lst")(score)]
    told = refused(wrong, finally_=wrong[0], on=Event, max_runing=1, priority="high")
    assert len(told) == 7, told
    assert "stage ['score']: name=['score']: give the stage a name" in "\n".join(told)


def test_a_stage_has_a_function() -> None:
    nothing: Any = None
    assert "stage 'nothing': function=None: give a function" in refused([Stage("nothing", nothing)])[0]


def test_what_is_right_is_taken() -> None:
    retry = Retry(max_attempts=1, initial_s=0, factor=1, jitter=False, total_s=0.5, transient=lambda error: None)
    mapped = stage(
        retry=retry, map="ingest", at_once=1, timeout_s=0.1, cpu_s=1, memory_bytes=1, resources={"gpu": 0.5, "cpu": 0},
        runner="process", when=lambda ingest: True, reuse="run", expires_s=60, after=("ingest",),
    )(score)  # fmt: skip
    whole = {"tags": ("a", "b"), "max_running": 1, "rate": Rate(1, 0.5), "concurrency": Concurrency("subject")}
    more = {"pool": "warehouse", "priority": -100, "due_s": 1.5, "on_cancel": stage(name="undo")(lambda: None)}
    settings: dict[str, Any] = {**whole, **more}
    assert Pipeline("flights", [stage(ingest), mapped], **settings).arrows == [("ingest", "score")]


def test_every_setting_has_a_rule() -> None:
    assert RULES.keys() == {*StageSettings.__annotations__, "function"} == Stage.__dataclass_fields__.keys()
    assert POLICY_RULES.keys() == RunSettings.__annotations__.keys()
    assert RETRY_RULES.keys() == Retry.__dataclass_fields__.keys()


def test_an_unknown_setting_of_a_stage_is_told_with_the_nearest_known_one() -> None:
    told = rf"{Path(__file__).name}:{score.__code__.co_firstlineno}: @stage has no setting "
    with pytest.raises(InvalidPipeline, match=told + r"'retries' \(did you mean 'retry'\?\), 'zzz'$"):
        declare(retries=3, zzz=1)(score)
    with pytest.raises(InvalidPipeline, match=told + "'function'$"):
        declare(function=ingest)(score)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_runing": 1}, "a pipeline has no setting 'max_runing' (did you mean 'max_running'?)"),
        ({"gate": {}}, "a pipeline has no setting 'gate' (did you mean 'gates'?)"),
        ({"max_running": "2"}, "max_running='2': give a whole number of at least 1"),
        ({"max_running": 1.5}, "max_running=1.5: give a whole number"),
        ({"max_running": True}, "max_running=True: give a whole number"),
        ({"timeout_s": "1h"}, "timeout_s='1h': give a number of seconds, more than 0"),
        ({"queue_timeout_s": 0}, "queue_timeout_s=0: give a number of seconds"),
        ({"due_s": float("inf")}, "due_s=inf: give a number of seconds"),
        ({"priority": "high"}, "priority='high': give a whole number from -100 to 100"),
        ({"priority": 101}, "priority=101: give a whole number from -100 to 100"),
        ({"concurrency": "subject"}, "concurrency='subject': give a Concurrency"),
        ({"rate": 10}, "rate=10: give a Rate"),
        ({"pool": "a b"}, "pool='a b': give a name of letters, digits"),
        ({"pool": 1}, "pool=1: give a name of letters, digits"),
        ({"tags": "nightly"}, "tags='nightly': give a list of words"),
        ({"tags": None}, "tags=None: give a list of words"),
        ({"on_cancel": ingest}, "give a stage: decorate the function with @stage"),
        ({"on": Event}, "give a list of triggers"),
        ({"gates": [1]}, "gates=[1]: give gates by arrow"),
        ({"params": int}, "params=<class 'int'>: give a pydantic model"),
        ({"serve": "score"}, "serve='score': give a function"),
        ({"runner": 1}, "runner=1: give the name of a runner"),
    ],
)
def test_a_wrong_setting_of_a_pipeline_is_told_with_its_place(settings: dict[str, Any], message: str) -> None:
    told = refused([stage(ingest)], **settings)
    assert len(told) == 1, told
    assert re.match(rf"  (.*/)?{re.escape(Path(__file__).name)}:\d+: ", told[0])
    assert message in told[0]


def test_one_stage_is_no_list_of_stages() -> None:
    assert "give a list of stages" in refused(stage(ingest))[0]


LIMITS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (Retry, {"max_attempts": "3"}, "Retry: max_attempts='3': give a whole number of at least 1"),
    (Retry, {"max_attempts": 0}, "max_attempts=0: give"),
    (Retry, {"max_attempts": 2.5}, "max_attempts=2.5: give"),
    (Retry, {"initial_s": "1", "factor": None}, "initial_s='1': give a number from 0 .*; factor=None: give"),
    (Retry, {"initial_s": -1}, "initial_s=-1: give"),
    (Retry, {"factor": 0.5}, "factor=0.5: give a number from 1 to 1,000"),
    (Retry, {"factor": 1e10}, "factor=10000000000.0: give"),
    (Retry, {"max_delay_s": float("nan")}, "max_delay_s=nan: give"),
    (Retry, {"jitter": "no"}, "jitter='no': give True or False"),
    (Retry, {"total_s": 0}, "total_s=0: give a number of seconds, more than 0"),
    (Retry, {"transient": KeyError}, "transient=<class 'KeyError'>: give error types in a tuple, or a function"),
    (Retry, {"permanent": [KeyError]}, "permanent=.*: give error types in a tuple"),
    (Concurrency, {"key": ""}, "Concurrency: key='': give a path into the event"),
    (Concurrency, {"key": "subject", "at_most": "2"}, "at_most='2': give a whole number of at least 1"),
    (Concurrency, {"key": "subject", "policy": "drop"}, "policy='drop': give 'queue' or"),
    (Rate, {"runs": "1", "per_s": 0}, "Rate: runs='1': give a whole number .*; per_s=0: give a number of seconds"),
]


@pytest.mark.parametrize(("kind", "settings", "message"), LIMITS)
def test_a_wrong_limit_is_told_where_it_is_made(
    kind: Callable[..., Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_the_longest_backoff_is_still_a_number() -> None:
    assert Retry(factor=1000, initial_s=1e9).delay_s(10**6, 1.0) == 300


def test_a_wrong_retry_is_told_with_its_place_when_its_module_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_retry.py").write_text("from stages import Retry\n\nRetry(max_attempts='3')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidPipeline, match=r"max_attempts='3': give a whole number .* \(wrong_retry\.py:3\)"):
        load("wrong_retry:flights")


@pytest.mark.parametrize("given", [5, "score"])
def test_what_is_no_function_is_no_stage(given: Any) -> None:
    with pytest.raises(InvalidPipeline, match=r"^stage\(.*\): this is no function: write @stage above one"):
        stage(given)


@pytest.mark.parametrize("tag", ["a\0", "\ud800"])
def test_text_that_no_database_takes_is_refused(tag: str) -> None:
    assert "give a list of words" in refused([stage(ingest)], tags=[tag])[0]
