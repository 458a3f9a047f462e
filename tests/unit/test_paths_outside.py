"""No name leads out of the folder it is looked for in: artifacts, backups, kept code, the console's files."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.backup import copy_all
from service.console.assets import assets
from stages.artifacts import digest_of, is_digest, place_of
from stages.errors import ArtifactMissing
from stages.kept_code import NotKept, unpack
from stages.local_store import LocalStore
from stages.stores import open_store

OUTSIDE = ("../../secret", "/etc/passwd", "..", "", "a/../../b", "A" * 64, "0" * 63, "0" * 62 + "/x", "0" * 64 + "\n")


@pytest.mark.parametrize("digest", OUTSIDE)
async def test_only_a_digest_is_looked_for_in_a_store(digest: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for store in (LocalStore(tmp_path / "a" / "store"), open_store("memory:///")):
        with pytest.raises(ArtifactMissing):
            await store.get(digest)
        with pytest.raises(ArtifactMissing):
            await store.fetch_file(digest, tmp_path / "fetched")
        with suppress(ArtifactMissing):
            await store.delete(digest)
    assert (tmp_path / "secret").exists()
    assert not (tmp_path / "fetched").exists()


@given(st.text(max_size=80))
def test_the_place_of_an_artifact_is_inside(name: str) -> None:
    if is_digest(name):
        assert Path(place_of(name)).parts == (name[:2], name[2:4], name)
    else:
        with pytest.raises(ArtifactMissing):
            place_of(name)


async def test_a_link_in_a_backup_brings_nothing_of_this_machine_along(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    backup, target = LocalStore(tmp_path / "backup"), LocalStore(tmp_path / "target")
    honest = await backup.put(b"honest")
    claimed = digest_of(b"claimed")
    link = backup.root / place_of(claimed)
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "secret")
    named = (one async for one in _names(honest, claimed))
    assert await copy_all(named, backup, target) == 1
    assert [one.digest async for one in target.stored()] == [honest]


async def _names(*names: str):  # type: ignore[no-untyped-def]
    for name in names:
        yield name


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a/../../out.py", "a\\..\\..\\out.py"])
def test_an_archive_of_code_writes_nothing_outside(name: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("inside.py", "1")
        archive.writestr(name, "2")
    folder = tmp_path / "code" / "v1"
    if "\\" in name:
        unpack(data.getvalue(), folder)  # to Posix that is the name of a file
    else:
        with pytest.raises(NotKept, match="outside"):
            unpack(data.getvalue(), folder)
        assert not folder.exists()
    assert not [path for path in tmp_path.rglob("*out.py") if folder not in path.parents]


def test_only_the_consoles_own_files_are_served() -> None:
    assert assets()
    assert all(Path(name).name == name for name in assets())
    assert not {"../page.py", "..", "../templates/page.html"} & set(assets())
