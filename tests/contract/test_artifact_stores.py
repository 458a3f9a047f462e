"""Every artifact store keeps the same promises."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.artifacts import ArtifactStore, digest_of, place_of
from stages.errors import ArtifactCorrupted, ArtifactMissing, StageError, StoreUnavailable
from stages.local_store import LocalStore
from stages.stores import open_store

ROOT = Path(__file__).parents[2]
ABSENT = digest_of(b"never stored")
Rot = Callable[[str], None]


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """One of each kind."""
    return open_store(f"file://{tmp_path}/with%20space" if request.param == "file" else "memory://")


async def overwrite(store: ArtifactStore, digest: str, data: bytes) -> None:
    """What a failing disk or a careless person does."""
    root = getattr(store, "root", None)
    if root is not None:
        (root / place_of(digest)).write_bytes(data)
    else:
        from obstore import put_async

        await put_async(store._store, place_of(digest), data)  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 20_000], ids=["empty", "small", "5 MB"])
async def test_bytes_come_back_from_the_address_of_their_content(store: ArtifactStore, data: bytes) -> None:
    digest = await store.put(data)
    assert digest == digest_of(data)
    assert await store.exists(digest)
    assert await store.get(digest) == data


async def test_a_file_has_the_same_address_as_its_bytes(store: ArtifactStore, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "given").write_bytes(data)
    digest = await store.put_file(tmp_path / "given")
    assert digest == await store.put(data)
    await store.fetch_file(digest, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == data
    assert (tmp_path / "given").read_bytes() == data


async def test_the_same_content_is_stored_by_many_at_once(store: ArtifactStore) -> None:
    assert set(await asyncio.gather(*(store.put(b"same" * 5_000) for _ in range(20)))) == {digest_of(b"same" * 5_000)}
    assert await store.get(digest_of(b"same" * 5_000)) == b"same" * 5_000


async def test_what_is_not_there_is_said_to_be_missing(store: ArtifactStore, tmp_path: Path) -> None:
    assert not await store.exists(ABSENT)
    with pytest.raises(ArtifactMissing, match=ABSENT):
        await store.get(ABSENT)
    with pytest.raises(ArtifactMissing, match=ABSENT):
        await store.fetch_file(ABSENT, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(store: ArtifactStore) -> None:
    digest = await store.put(b"probe")
    for _ in range(2):
        await store.delete(digest)
        assert not await store.exists(digest)


async def test_corrupted_bytes_are_never_handed_out(store: ArtifactStore, tmp_path: Path) -> None:
    digest = await store.put(b"good" * 5_000)
    await overwrite(store, digest, b"bad!" * 5_000)
    with pytest.raises(ArtifactCorrupted, match=digest):
        await store.get(digest)
    with pytest.raises(ArtifactCorrupted, match=digest):
        await store.fetch_file(digest, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


async def test_a_local_store_heals_what_rotted_when_the_content_is_made_again(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    digest = await store.put(b"good")
    await overwrite(store, digest, b"bad!")
    await store.put(b"good")
    assert await store.get(digest) == b"good"


async def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    store = open_store(f"{tmp_path.as_uri()}/artifacts")
    with pytest.raises(StageError, match="absent"):
        await store.put_file(tmp_path / "absent")
    assert [path for path in (tmp_path / "artifacts").rglob("*") if path.is_file()] == []


KILLED = """
import os, pathlib, sys
from stages.local_store import LocalStore
store = LocalStore(pathlib.Path(sys.argv[1]))
store._write(lambda file: (file.write(b"half of it"), file.flush(), print("writing", flush=True), sys.stdin.read()))
"""


async def test_what_a_killed_process_had_begun_to_write_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        [half] = (tmp_path / ".incoming").iterdir()
        os.utime(half, (0, 0))
        LocalStore(tmp_path)
        assert half.exists()
        writer.kill()
    LocalStore(tmp_path)
    assert not half.exists()
    young = tmp_path / ".incoming" / "young"
    young.touch()
    LocalStore(tmp_path)
    assert young.exists()


async def test_a_local_write_is_synced_before_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def seen(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}") if Path("/proc/self/fd").exists() else str(handle))
        sync(handle)

    store = open_store(tmp_path.as_uri())
    monkeypatch.setattr(os, "fsync", seen)
    digest = await store.put(b"durable")
    assert ".incoming" in synced[0]
    folder = (tmp_path / place_of(digest)).parent
    assert {str(folder), str(folder.parent), str(tmp_path)} <= set(synced)
    # Of the folders that need it no more, there may be 65,792.
    assert isinstance(store, LocalStore)
    assert store._durable == {digest[:2], f"{digest[:2]}/{digest[2:4]}"}


@pytest.mark.parametrize("url", ["ftp://host/x", "relative/folder", "/absolute", "file://host/x", ""])
def test_what_is_no_url_of_a_store_is_told_what_is(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="file://") as caught:
        open_store(url)
    assert not caught.value.transient


def test_a_folder_that_cannot_be_made_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"a file")
    with pytest.raises(StoreUnavailable, match="TIDEMILL_ARTIFACTS") as caught:
        open_store(f"{tmp_path.as_uri()}/taken/artifacts")
    # An attempt that meets it in its own process is made again; a daemon that starts ends, and says it.
    assert caught.value.transient


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.ENOTDIR, errno.ESTALE])
async def test_a_folder_that_cannot_be_written_now_is_an_outage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = open_store(tmp_path.as_uri())
    kept = await store.put(b"kept")

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refused)
        with pytest.raises(StoreUnavailable, match=os.strerror(number)) as caught:
            await store.put(b"not kept")
        assert caught.value.transient
    assert not await store.exists(digest_of(b"not kept"))
    assert await store.get(kept) == b"kept"


def test_a_bucket_is_opened_without_a_word_to_the_network() -> None:
    assert "s3://bucket/prefix" in repr(open_store("s3://bucket/prefix"))
