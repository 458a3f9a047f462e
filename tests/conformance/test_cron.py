"""Cron against what Debian's own parser and loop did, cronsim's and Quartz's tests, and what libraries make of the
extensions (see shared/vectors).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from triggers.cron import CronExpression
from triggers.cron.fields import DEBIAN, EXTENDED, QUARTZ, Syntax
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


def parse(case: dict[str, Any], syntax: Syntax = DEBIAN) -> CronExpression:
    return CronExpression.parse(case["expr"], timezone=case["tz"], syntax=syntax)


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
    syntax = DEBIAN
    if case.get("six_field_seconds_first"):
        with pytest.raises(InvalidTrigger, match="has 6 fields"):
            parse(case)
        syntax = EXTENDED
    instant: datetime | None = datetime.fromisoformat(case["now_local"]).replace(tzinfo=ZoneInfo(case["tz"]))
    for expected in case["next"]:
        assert instant is not None
        instant = parse(case, syntax).next_after(instant)
        assert instant == datetime.fromisoformat(expected)


# What only some or none of the libraries take, and what we say of it in the extended syntax.
REFUSED_EXTENDED = {
    "@reboot": "tidemill run",
    "@every 5m": "Every('5m')",
    "0 0 1 1 * 2027": "day of week '2027'",
    "0 0 * * L": "friL",
    "? ? * * *": "stands alone",
    "0 0 last * *": "Write 'L'",
    "H H * * *": "jitter=",
    "R * * * *": "jitter=",
}
# Where they do not agree, or none knows it: Quartz's documents decide.
DECIDED = {"0 0 L-3 * *": ["2026-01-28T00:00:00Z", "2026-02-25T00:00:00Z", "2026-03-28T00:00:00Z"]}


def matrix() -> Iterator[Any]:
    path = FOLDER / "extensions_matrix.json"
    if path.is_file():
        for case in json.loads(path.read_text())["cases"]:
            yield pytest.param(case, id=case["expr"])


def counted(expression: CronExpression, case: dict[str, Any]) -> tuple[int, list[datetime]]:
    due = list(expression.between(datetime.fromisoformat(case["after"]), datetime.fromisoformat(case["until"])))
    return len(due), due[:4]


def told(answer: dict[str, Any]) -> tuple[int, list[datetime]]:
    return answer["count"], [datetime.fromisoformat(instant) for instant in answer["first"]][:4]


@pytest.mark.parametrize("case", [*matrix()])
def test_unmarked_an_extension_is_what_debian_makes_of_it_or_refused(case: dict[str, Any]) -> None:
    try:
        expression = CronExpression.parse(case["expr"])
    except InvalidTrigger:
        # `1#2`: Debian skips what stands behind the 1, and runs every Monday.
        assert isinstance(case["debian"], str) or "#" in case["expr"] or case["expr"] == "@reboot"
        return
    assert counted(expression, case) == told(case["debian"])


@pytest.mark.parametrize("case", [*matrix()])
def test_marked_it_is_what_those_libraries_make_of_it_that_know_it(case: dict[str, Any]) -> None:
    if case["expr"] in REFUSED_EXTENDED:
        with pytest.raises(InvalidTrigger) as refused:
            CronExpression.parse(case["expr"], syntax=EXTENDED)
        assert REFUSED_EXTENDED[case["expr"]] in str(refused.value)
        return
    found = counted(CronExpression.parse(case["expr"], syntax=EXTENDED), case)
    if case["expr"] in DECIDED:
        assert found[1] == [datetime.fromisoformat(instant) for instant in DECIDED[case["expr"]]]
        return
    # croniter's sixth field is seconds, at the end.
    libraries = ("cronsim", "croner") if len(case["expr"].split()) == 6 else ("cronsim", "croniter", "croner")
    known = [told(case[name]) for name in libraries if not isinstance(case[name], str)]
    assert known
    assert known == [found] * len(known)


def quartz() -> Iterator[Any]:
    path = FOLDER / "quartz_satisfied.json"
    if path.is_file():
        for case in json.loads(path.read_text())["cases"]:
            yield pytest.param(case, id=f"{case['expr']} {case['local']}")


@pytest.mark.parametrize("syntax", [EXTENDED, QUARTZ], ids=["extended", "quartz"])
@pytest.mark.parametrize("case", [*quartz()])
def test_satisfied_when_quartz_says_so(case: dict[str, Any], syntax: Syntax) -> None:
    instant = datetime.fromisoformat(case["local"]).replace(tzinfo=UTC)
    due = CronExpression.parse(case["expr"], syntax=syntax).next_after(instant - timedelta(seconds=1))
    assert (due == instant) is case["satisfied"]


def test_the_vectors_are_there() -> None:
    assert len(list(cases("debian_oracle.json"))) >= 100
    assert len(list(cases("cronsim_dst_tests.json"))) >= 30
    assert len(list(matrix())) >= 20
    assert len(list(quartz())) >= 60
