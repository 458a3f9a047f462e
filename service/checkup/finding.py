"""What a check found, and what to do about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.StrEnum):
    """How bad it is. A warning leaves a daemon working; a problem does not."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` is what to do next, empty where nothing need be done."""

    about: str
    verdict: Verdict
    says: str
    advice: str = ""


def fine(about: str, says: str) -> Finding:
    """Nothing to do."""
    return Finding(about, Verdict.OK, says)


def warning(about: str, says: str, advice: str = "") -> Finding:
    """Works, but not as it should."""
    return Finding(about, Verdict.WARNING, says, advice)


def problem(about: str, says: str, advice: str = "") -> Finding:
    """Does not work."""
    return Finding(about, Verdict.PROBLEM, says, advice)
