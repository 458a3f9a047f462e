"""Cron against what Debian's own parser and loop did, and cronsim's tests of clock changes (see shared/vectors)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from triggers.cron import CronExpression
from triggers.errors import InvalidTrigger

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "cron"
# What Debian accepts and we do not: it never fires, or text behind a field is skipped.
# See docs/decisions/0006-cron-is-debian-cron.md.
NEVER_FIRES = ("runs backwards", "never due")
TEXT_SKIPPED = {"0 0 * * 1#2x"}

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/vectors is not beside this clone")


def cases(name: str) -> Iterator[Any]:
    path = FOLDER / name
    if path.is_file():
        for case in json.loads(path.read_text())["cases"]:
            label = case.get("id") or f"{case['expr']} {case['tz']} {case['after']}"
            yield pytest.param(case, id=label)


def parse(case: dict[str, Any]) -> CronExpression:
    return CronExpression.parse(case["expr"], timezone=case["tz"])


def parse_or_error(case: dict[str, Any]) -> CronExpression | InvalidTrigger:
    try:
        return parse(case)
    except InvalidTrigger as error:
        return error


def rightly_refused(case: dict[str, Any], why: InvalidTrigger) -> bool:
    if case["expect"] == "reject" or case["expr"] in TEXT_SKIPPED:
        return True
    return not case["count_in_window"] and any(reason in str(why) for reason in NEVER_FIRES)


@pytest.mark.parametrize("case", [*cases("debian_oracle.json"), *cases("debian_random.json")])
def test_due_when_debian_runs_it(case: dict[str, Any]) -> None:
    expression = parse_or_error(case)
    if isinstance(expression, InvalidTrigger):
        assert rightly_refused(case, expression)
        return
    assert case["expect"] != "reject"
    due = list(expression.between(datetime.fromisoformat(case["after"]), datetime.fromisoformat(case["until"])))
    expected = [datetime.fromisoformat(instant) for instant in case["fires_utc"]]
    assert due[: len(expected)] == expected
    assert len(due) == case["count_in_window"]


@pytest.mark.parametrize("case", [*cases("cronsim_dst_tests.json")])
def test_due_as_cronsim_says_over_clock_changes(case: dict[str, Any]) -> None:
    if case.get("six_field_seconds_first"):
        with pytest.raises(InvalidTrigger, match="has 6 fields"):
            parse(case)
        return
    instant: datetime | None = datetime.fromisoformat(case["now_local"]).replace(tzinfo=ZoneInfo(case["tz"]))
    for expected in case["next"]:
        assert instant is not None
        instant = parse(case).next_after(instant)
        assert instant == datetime.fromisoformat(expected)


def test_the_vectors_are_there() -> None:
    assert len(list(cases("debian_oracle.json"))) >= 100
    assert len(list(cases("cronsim_dst_tests.json"))) >= 30
