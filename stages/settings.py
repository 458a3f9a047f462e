"""What each setting of a stage may be. It is asked before anything reads one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from stages.base import Reuse, Stage
from stages.problems import Problems, place_of_function
from stages.retry import Retry
from stages.rules import Rule, broken, function, is_number, is_text, made_by, one_of, seconds, shown, text, whole, words

MOST_BYTES = 2**60


def _are_amounts(given: Any) -> bool:
    return isinstance(given, Mapping) and all(
        is_text(name) and is_number(amount) and amount >= 0 for name, amount in given.items()
    )


RULES: Mapping[str, Rule] = {
    "name": text("the stage a name"),
    "function": function("a function"),
    "retry": made_by(Retry, "a Retry, as in retry=Retry(max_attempts=3)"),
    "timeout_s": seconds().or_none(),
    "heartbeat_s": seconds().or_none(),
    "memory_bytes": Rule(whole(1, MOST_BYTES).allows, "a whole number of bytes, more than 0").or_none(),
    "cpu_s": seconds().or_none(),
    "resources": Rule(_are_amounts, "amounts by name, none below 0, as in resources={'gpu': 1}"),
    "environment": text("the name of a lock file").or_none(),
    "image": text("the name of an image, by digest").or_none(),
    "runner": text("the name of a runner").or_none(),
    "reuse": one_of(get_args(Reuse)),
    "expires_s": seconds().or_none(),
    "after": words("a list of names of stages, as in after=['ingest']"),
    "map": text("the name of one of its inputs").or_none(),
    "at_once": whole(1),
    "when": function("a function of some of its arguments").or_none(),
}


def setting_problems(stage: Stage) -> Iterator[str]:
    """What is wrong with the settings of a stage, each by itself and together. A stage with none is safe to read."""
    wrong = list(broken(RULES, vars(stage)))
    yield from wrong
    if wrong:
        return
    if stage.map is None and stage.at_once != Stage.at_once:
        yield f"at_once={stage.at_once} is for a mapped stage: name its list too, map=..."
    if stage.reuse == "never" and stage.expires_s is not None:
        yield f"reuse='never' keeps no result that could expire: leave out expires_s={stage.expires_s}"


def check_settings(stage: object, problems: Problems) -> None:
    """Note what is wrong with the settings of what may be a stage, at its function."""
    if isinstance(stage, Stage):
        where = place_of_function(stage.function) if callable(stage.function) else None
        for wrong in setting_problems(stage):
            problems.add(f"stage {shown(stage.name)}: {wrong}", where)
