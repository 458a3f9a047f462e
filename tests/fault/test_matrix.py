"""The matrix of faults: that it knows every point, that its cells notice what is wrong, and a few dozen of them.

`python -m tests.fault.matrix` runs all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from service.fault_points import points
from tests.fault.matrix.cell import HARMS
from tests.fault.matrix.ground import MAY_MOUNT, filled, read_only, small_disk
from tests.fault.matrix.table import MET, NOT_YET, UNREACHABLE, Place, known, places
from tests.fault.matrix.whole import run_all

SEED = 20261127
# Of each kind so many; all of it takes less than a minute.
OF_EACH = 3
CELLS = list(places())
# These start other processes, which takes long.
SLOW = {"packaged", "versions", "lost version", "other code"}


def drawn() -> Sequence[Place]:
    """Some cells of each kind."""
    dice = random.Random(SEED)
    quick = [one for one in CELLS if not one.why_not and one.recipe.name not in SLOW]
    found = []
    for kind in HARMS:
        of_kind = [one for one in quick if one.kind == kind]
        found += dice.sample(of_kind, min(OF_EACH, len(of_kind)))
    return found


def test_every_point_is_met_by_a_recipe_or_is_said_not_to_be() -> None:
    assert [point for point in points() if not known(point)] == [], NOT_YET
    assert {one.point for one in CELLS} == set(points())
    named = {name for met in MET.values() for name in met} | set(UNREACHABLE)
    assert named <= {point.removesuffix(".committed").removesuffix(".commit") for point in points()} | set(points())


def test_most_of_it_makes_sense() -> None:
    anywhere = [one for one in CELLS if one.kind in ("crash", "stop past the lease", "cut connections")]
    assert sum(not one.why_not for one in anywhere) > 0.9 * len(anywhere)


@pytest.mark.timeout(300)
async def test_the_books_are_right_whatever_breaks_where(home: Path) -> None:
    told: list[str] = []
    cells = drawn()
    outcomes = await run_all(cells, home, 3, lambda one: told.append(f"{one.point}, {one.kind}"))
    assert {f"{one.point}, {one.kind}": one.wrong for one in outcomes if one.wrong} == {}
    assert len(told) == len(outcomes) == len(cells) >= OF_EACH * (len(HARMS) - 1)


@pytest.mark.timeout(120)
async def test_a_point_that_is_not_met_is_told(home: Path) -> None:
    """A cell whose fault never came to pass is not right: nothing was tried."""
    [cell] = [one for one in CELLS if (one.point, one.kind) == ("cancel.commit", "crash")]
    [other] = [one for one in CELLS if (one.point, one.kind) == ("worker.start", "crash")]
    [outcome] = await run_all([replace(cell, point=other.point)], home, 1, lambda one: None)
    assert "the point was not met" in outcome.wrong[0]


async def test_a_full_disk_and_a_read_only_folder_are_real(home: Path) -> None:

    if not MAY_MOUNT:
        with read_only(home / "store"), pytest.raises(PermissionError):
            (home / "store" / "file").touch()
        return
    with small_disk(home / "disk", 4) as disk:
        with filled(disk), pytest.raises(OSError, match="No space left"):
            (disk / "file").write_bytes(b"x" * 10_000)
        (disk / "file").write_bytes(b"x" * 10_000)
    with read_only(home / "store"), pytest.raises(OSError, match="Read-only"):
        (home / "store" / "file").touch()
    (home / "store" / "file").touch()
