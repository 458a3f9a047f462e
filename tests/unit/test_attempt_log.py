"""What workers log reaches the daemon's own log, and makes no loggers there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from stages.log_lines import LogLine
from stages.workers.attempt_log import AttemptLog, nearest_logger
from stages.workers.wire import Message
from tests.unit.attempts import a_call

KNOWN = "tests.attempt_log"


@dataclass
class Lines:
    """Keeps them all."""

    is_live: bool = True
    is_spent: bool = False
    lines: list[LogLine] = field(default_factory=list)

    def add(self, line: LogLine) -> None:
        self.lines.append(line)

    def drop(self, lines: int, size_bytes: int) -> None:
        raise AssertionError

    def mask(self, value: str) -> None:
        raise AssertionError


@pytest.fixture
def known() -> Iterator[logging.Logger]:
    logger = logging.getLogger(KNOWN)
    yield logger
    logger.setLevel(logging.NOTSET)


def logged(name: str, level: int, text: str) -> Message:
    return Message("log", {"name": name, "level": level, "created": 1.0, "fields": {}}, text.encode())


def test_names_that_stages_make_up_leave_no_loggers_behind(
    known: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    lines = Lines()
    log = AttemptLog("p", a_call("s"), lines, lambda what: None)
    before = set(logging.Logger.manager.loggerDict)
    known.setLevel(logging.INFO)
    for number in range(50):
        log.heard(logged(f"{KNOWN}.job.{number}", logging.INFO, f"said {number}"))
        log.heard(logged(f"{KNOWN}.job.{number}", logging.DEBUG, "too low"))
        log.heard(logged(f"elsewhere{number}", logging.ERROR, f"cried {number}"))
    assert set(logging.Logger.manager.loggerDict) == before
    assert [line.message for line in lines.lines][:2] == ["said 0", "cried 0"]
    assert len(lines.lines) == 100
    assert {(record.name, record.levelno) for record in caplog.records} >= {
        (f"{KNOWN}.job.7", logging.INFO),
        ("elsewhere7", logging.ERROR),
    }


def test_the_nearest_logger_is_the_one_whose_level_counts(known: logging.Logger) -> None:
    below = logging.getLogger(f"{KNOWN}.below.deep")
    assert nearest_logger(f"{KNOWN}.below.deep") is below
    assert nearest_logger(f"{KNOWN}.below") is known  # a place holder is no logger
    assert nearest_logger(f"{KNOWN}.other.one") is known
    assert nearest_logger("nobody.knows.it") is logging.getLogger()
    assert nearest_logger("") is logging.getLogger()
    assert nearest_logger("...") is logging.getLogger()
