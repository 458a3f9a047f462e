"""The model of leases, epochs and positions holds for three daemons, and each of its rules is needed."""

from __future__ import annotations

import pytest

from tests.simulation.explore import explore
from tests.simulation.protocol import Fences, Protocol


@pytest.mark.parametrize(("stages", "troubles"), [(1, 2), (2, 1)])
def test_no_order_of_steps_breaks_a_promise_or_leads_nowhere(stages: int, troubles: int) -> None:
    found = explore(Protocol(Fences(), stages), daemons=3, troubles=troubles)
    assert not found.wrong, (found.wrong, found.path)
    assert found.states > 10_000


@pytest.mark.parametrize(
    ("fences", "stages", "troubles", "wrong"),
    [
        (Fences(epoch=False), 2, 1, "a result of (0, 1) was recorded twice"),
        (Fences(lease=False), 1, 2, "the end cannot be reached any more"),
        (Fences(position=False), 1, 0, "records [0, 0, 1] are in runs, and the position is 2"),
        (Fences(answer_after_commit=False), 1, 0, "something was acknowledged that is not durable"),
        (Fences(adopts=False), 1, 1, "the end cannot be reached any more"),
    ],
)
def test_without_one_of_the_rules_a_promise_is_broken(fences: Fences, stages: int, troubles: int, wrong: str) -> None:
    found = explore(Protocol(fences, stages), daemons=3, troubles=troubles)
    assert found.wrong == wrong
    assert found.path
