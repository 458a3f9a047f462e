"""Temporary files of a daemon: in its own folder while it lives, and gone once nobody holds that."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest

from service.temporary import PREFIX, YOUNG_S, own_temporary_files, remove_left


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def aged(folder: Path) -> Path:
    at = time.time() - 2 * YOUNG_S
    os.utime(folder, (at, at))
    return folder


def test_all_that_is_made_meanwhile_goes_at_the_end(shared: Path) -> None:
    with own_temporary_files() as given:
        made = Path(tempfile.mkdtemp())
        (made / "file").touch()
        assert (given, made.parent.parent) == (shared, shared)
        assert made.parent.name.startswith(PREFIX)
    assert list(shared.iterdir()) == []
    assert Path(tempfile.mkdtemp()).parent == shared


def test_what_somebody_holds_stays_however_old_it_is(shared: Path) -> None:
    with own_temporary_files():
        mine = aged(Path(tempfile.gettempdir()))
        remove_left(shared)
        assert mine.is_dir()


def test_what_nobody_holds_goes_unless_it_has_just_been_made(shared: Path) -> None:
    left, young, other = (shared / name for name in (f"{PREFIX}left", f"{PREFIX}young", "other"))
    for folder in (left, young, other):
        (folder / "deep").mkdir(parents=True)
    aged(left)
    aged(other)
    remove_left(shared)
    assert {each.name for each in shared.iterdir()} == {young.name, other.name}
