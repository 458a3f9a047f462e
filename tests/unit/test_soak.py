"""The soak's judgement of a memory curve."""

from __future__ import annotations

import random

import pytest

from tests.fault.soak import MOST_GROWTH, growth

DICE = random.Random(7)


def noise(size: float) -> list[float]:
    return [size * DICE.uniform(-1, 1) for _ in range(120)]


@pytest.mark.parametrize(("per_sample", "flat"), [(0.0, True), (0.05, True), (0.3, False), (2.0, False)])
def test_a_leak_is_told_from_noise(per_sample: float, flat: bool) -> None:
    curve = [200 + per_sample * at + one for at, one in enumerate(noise(20.0))]
    assert (growth(curve) <= MOST_GROWTH) is flat


def test_a_warm_up_and_a_peak_are_no_leak() -> None:
    curve = [min(300.0, 100 + 10 * at) for at in range(120)]
    curve[70] = 2_000.0
    assert growth(curve) == 0
