"""The files of the contenders that benchmarks measure beside ours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.peers.environments import HERE, OURS, SERVERS, NoPeer, peer_names, python_of, version

LOCKS = sorted(HERE.glob("*.lock"))


def test_every_contender_has_a_program_and_packages() -> None:
    assert {path.stem for path in HERE.glob("*.in")} == set(peer_names())
    assert all((HERE / f"{name}.py").exists() for name in [*peer_names(), OURS])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_packages_of_contenders_are_pinned_by_their_hashes_and_name_no_registry(lock: Path) -> None:
    text = lock.read_text()
    pinned = re.findall(
        r"^[A-Za-z0-9._-]+(?:\[[^]]*\])?==\S+.*\\\n    --hash=sha256:[0-9a-f]{64}", text, flags=re.MULTILINE
    )
    assert len(pinned) == len(re.findall(r"^[A-Za-z0-9]", text, flags=re.MULTILINE)) > 0
    assert "://" not in text


@pytest.mark.parametrize("folder", SERVERS.values(), ids=lambda path: path.name)
def test_servers_of_contenders_are_pinned_by_their_hashes_and_name_no_registry(folder: Path) -> None:
    text = (folder / "package-lock.json").read_text()
    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}
    assert packages
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "://" not in text


def test_the_version_told_is_the_one_pinned() -> None:
    assert version(OURS) == ""
    assert all(re.fullmatch(r"\d+\.\d+.*", version(name)) for name in peer_names())


async def test_a_name_that_nobody_has_is_answered_with_those_there_are() -> None:
    with pytest.raises(NoPeer, match="nobody is called 'celery': there are dbos, pgqueuer"):
        await python_of("celery")
