"""A record of logging as a line: with its fields, of bounded size, and never the reason that a stage fails."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from stages.log_lines import (
    CARRIED_LIMIT,
    FIELD_LIMIT,
    FIELDS_LIMIT,
    MOST_FIELDS,
    clean,
    cut,
    fields_of,
    line_of,
    text_of,
)


class Spiteful:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def record(message: str = "read", *arguments: Any, **extra: Any) -> logging.LogRecord:
    made = logging.getLogger("a").makeRecord("a", logging.INFO, "f.py", 1, message, arguments, None, extra=extra)
    made.created = 5.0
    return made


def test_a_line_has_what_was_logged_and_nothing_that_python_adds() -> None:
    line = line_of(record("read %s", 3, rows=3))
    assert (line.at, line.source, line.level, line.logger) == (5.0, "log", "info", "a")
    assert (line.message, line.fields) == ("read 3", {"rows": 3})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (True, True),
        (None, None),
        (0.5, 0.5),
        (float("nan"), "nan"),
        (2**60, str(2**60)),
        ([1, "two"], [1, "two"]),
        ({"deep": [None]}, {"deep": [None]}),
        ({1: 2}, "{1: 2}"),
        ({"at": Path("/x")}, "{'at': PosixPath('/x')}"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
        ("a\0b\udcff", "a\ufffdb\\udcff"),
        (Spiteful(), "<Spiteful: RuntimeError>"),
        ([Spiteful()], "<list: RuntimeError>"),
        ("x" * 2_000, "x" * FIELD_LIMIT + " ... (cut)"),
        (["x" * 2_000], '["' + "x" * (FIELD_LIMIT - 2) + " ... (cut)"),
    ],
)
def test_a_field_is_plain_and_short(given: Any, kept: Any) -> None:
    assert fields_of(record(value=given)) == {"value": kept}


def test_fields_are_few_and_their_sum_is_bounded() -> None:
    assert len(fields_of(record(**{f"n{number}": number for number in range(99)}))) == MOST_FIELDS
    large = fields_of(record(**{f"n{number}": "x" * 900 for number in range(MOST_FIELDS)}))
    assert 5 < len(large) < MOST_FIELDS
    assert len(orjson.dumps(large)) < FIELDS_LIMIT + 1_000


def test_a_record_that_cannot_be_formatted_is_told_as_it_was_given() -> None:
    assert text_of(record("%d rows", "many")) == "%d rows (its arguments do not fit: TypeError)"
    assert text_of(record("%s", Spiteful())) == "%s (its arguments do not fit: RuntimeError)"


def test_a_huge_message_is_cut() -> None:
    assert len(text_of(record("%s", "x" * 1_000_000))) == CARRIED_LIMIT
    assert cut("x" * 5, 4) == "xxxx ... (cut)"


def test_text_is_what_postgres_takes() -> None:
    assert clean("a\0\udcff\x85é") == "a\ufffd\\udcff\x85é"
