"""The fuzzer for a short while; by hand it runs for ten minutes: `python -m tests.fault.fuzz --minutes 10`."""

from __future__ import annotations

from pathlib import Path

from tests.fault.fuzz import MOST_GROWTH, Findings, fuzz

SECONDS = 20.0


async def test_garbage_is_never_answered_with_a_fault_of_ours(database: str, tmp_path: Path) -> None:
    findings = await fuzz(database, tmp_path, SECONDS, seed=7)
    assert findings.failures == [], findings.told()
    answered = {status for status in findings.statuses if status.isdigit()}
    # It got in, and it was refused in many ways.
    assert {"200", "202", "400", "401", "404", "405", "413", "415", "422"} <= answered, findings.told()


def test_growing_memory_is_found() -> None:
    assert Findings(1, memory=[100] * 40).growth() == 1.0
    assert Findings(1, memory=list(range(100, 140))).growth() > 1.15
    assert Findings(1, memory=[100] * 20 + [200] * 20).growth() > MOST_GROWTH
