"""The real writer, inbox, executor and driver keep every promise under a simulated clock, database and weather."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from service.loops.executor import Executor
from tests.simulation.world import simulate

SEEDS = range(250)


def test_no_seed_breaks_a_promise() -> None:
    verdicts = [simulate(seed) for seed in SEEDS]
    assert not [(one.seed, one.wrong) for one in verdicts if one.wrong]
    assert sum(one.deaths for one in verdicts) > len(verdicts)
    assert sum(one.lapses for one in verdicts) > sum(one.deaths for one in verdicts), "some lost their lease alive"
    assert sum(one.calls for one in verdicts) > 20 * len(verdicts)


def test_a_database_that_does_not_look_at_the_epoch_is_noticed() -> None:
    # Two results, an end after which a run waits, a failure for no reason: each is a run that two have driven.
    assert any(simulate(seed, epochs=False).wrong for seed in SEEDS)


def test_a_database_that_does_not_look_at_the_lease_is_noticed() -> None:
    assert any("ended 0 times" in " ".join(simulate(seed, leases=False).wrong) for seed in SEEDS)


def test_a_daemon_that_forgets_what_it_took_before_an_outage_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "recover_owned", lambda executor: None)
    assert any("ended 0 times" in " ".join(simulate(seed).wrong) for seed in SEEDS)


@pytest.mark.parametrize("seed", [3, 27])
def test_a_seed_is_the_same_story_in_every_process(seed: int) -> None:
    stories = [
        subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--trace"],
            env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.splitlines()[:-1]
        for hash_seed in (1, 2)
    ]
    assert stories[0] == stories[1]
    assert len(stories[0]) > 100
