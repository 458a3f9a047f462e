"""A private key that comes line by line is hidden to its end, and nothing else for long."""

from __future__ import annotations

import logging

from service.logs.masked import MaskedFormatter
from stages.key_lines import MOST_LINES, KeyLines
from stages.secrets import Secrets

FIRST, LAST = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"


def hidden(*lines: str) -> list[bool]:
    keys = KeyLines()
    return [keys.hides("stdout", line) for line in lines]


def test_the_lines_of_a_key_are_hidden_with_its_last() -> None:
    assert hidden("a", FIRST, "MIIE", "", LAST, "b") == [False, False, True, True, True, False]


def test_a_key_in_one_line_hides_nothing_after_it() -> None:
    assert hidden(f"{FIRST}\nMIIE\n{LAST}", "b", LAST, "c") == [False] * 4


def test_a_key_may_begin_where_another_ends() -> None:
    assert hidden(FIRST, "MIIE", LAST + FIRST, "MIIE", LAST, "b") == [False, True, True, True, True, False]


def test_a_first_line_without_a_last_hides_a_bounded_number() -> None:
    assert hidden(FIRST, *"x" * 500).count(True) == MOST_LINES


def test_streams_do_not_mix() -> None:
    keys = KeyLines()
    keys.hides("stdout", FIRST)
    assert not keys.hides("stderr", "MIIE")
    assert keys.hides("stdout", "MIIE")


def test_a_hidden_record_keeps_its_form() -> None:
    keys = KeyLines()
    form = logging.Formatter("%(levelname)s %(message)s")
    masked = MaskedFormatter(form, Secrets, lambda record, text: keys.hides("log", text))
    lines = [FIRST, "MIIE", LAST, "after"]
    told = [masked.format(logging.LogRecord("a", logging.INFO, "f", 1, "%s", (line,), None)) for line in lines]
    assert told == ["INFO ***", "INFO ***", "INFO ***", "INFO after"]
