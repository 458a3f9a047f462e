"""What is set aside can still be had; what is dropped is gone; what was put meanwhile stays. For every store."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stages.artifacts import ArtifactStore, digest_of, place_of
from stages.errors import ArtifactMissing
from stages.stores import open_store

AT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
DATA = b"grain" * 5_000


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    """One of each kind."""
    return open_store(f"file://{tmp_path}/artifacts" if request.param == "file" else "memory://")


async def stored(store: ArtifactStore) -> dict[str, int]:
    return {one.digest: one.size_bytes async for one in store.stored()}


async def aside(store: ArtifactStore) -> list[tuple[str, datetime]]:
    return sorted([(one.digest, one.at) async for one in store.set_aside()])


async def test_everything_that_is_stored_is_listed_with_size_and_time(store: ArtifactStore) -> None:
    assert await stored(store) == {}
    digests = [await store.put(bytes([number]) * (number + 1)) for number in range(20)]
    assert await stored(store) == {digest: number + 1 for number, digest in enumerate(digests)}
    [first, *_] = [one async for one in store.stored()]
    assert abs((datetime.now(UTC) - first.modified_at).total_seconds()) < 60


@pytest.mark.parametrize("way", ["get", "fetch_file", "exists", "put", "bring_back"])
async def test_whoever_asks_for_what_is_set_aside_gets_it_back(store: ArtifactStore, way: str, tmp_path: Path) -> None:
    digest = await store.put(DATA)
    await store.retire(digest, AT)
    assert (await stored(store), await aside(store)) == ({}, [(digest, AT)])
    match way:
        case "get":
            assert await store.get(digest) == DATA
        case "fetch_file":
            await store.fetch_file(digest, tmp_path / "fetched")
            assert (tmp_path / "fetched").read_bytes() == DATA
        case "exists":
            assert await store.exists(digest)
        case "put":
            assert await store.put(DATA) == digest
        case _:
            assert await store.bring_back(digest)
    assert await stored(store) == {digest: len(DATA)}


async def test_what_is_dropped_is_gone(store: ArtifactStore) -> None:
    digest = await store.put(DATA)
    await store.retire(digest, AT)
    for one in [one async for one in store.set_aside()]:
        await store.drop(one)
        await store.drop(one)
    assert not await store.exists(digest)
    assert not await store.bring_back(digest)
    with pytest.raises(ArtifactMissing, match=digest):
        await store.get(digest)
    assert await aside(store) == []


async def test_dropping_leaves_what_was_put_or_set_aside_since(store: ArtifactStore) -> None:
    digest = await store.put(DATA)
    await store.retire(digest, AT)
    [first] = [one async for one in store.set_aside()]
    await store.put(DATA)
    await store.retire(digest, AT + timedelta(days=1))
    await store.drop(first)
    assert await aside(store) == [(digest, AT + timedelta(days=1))]
    assert await store.get(digest) == DATA
    [*others] = [one async for one in store.set_aside()]
    for one in others:
        await store.drop(one)
    assert await store.get(digest) == DATA


async def test_what_is_put_again_is_young_again(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    digest = await store.put(DATA)
    os.utime(tmp_path / place_of(digest), (0, 0))
    await store.put(DATA)
    [one] = [one async for one in store.stored()]
    assert (datetime.now(UTC) - one.modified_at).total_seconds() < 60
    await store.retire(digest, AT)
    os.utime(next((tmp_path / ".aside" / place_of(digest)).iterdir()), (0, 0))
    assert await store.exists(digest)
    [one] = [one async for one in store.stored()]
    assert (datetime.now(UTC) - one.modified_at).total_seconds() < 60


async def test_setting_aside_what_is_not_there_does_nothing(store: ArtifactStore) -> None:
    await store.retire(digest_of(b"never stored"), AT)
    assert await aside(store) == []


async def test_what_else_lies_in_the_folder_is_no_artifact(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    digest = await store.put(DATA)
    (tmp_path / place_of(digest)).with_name("README").write_text("mine")
    (tmp_path / "notes").mkdir()
    (tmp_path / ".incoming" / "half").write_text("half")
    assert await stored(store) == {digest: len(DATA)}


async def test_a_reader_that_has_it_open_keeps_it(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    digest = await store.put(DATA)
    with (tmp_path / place_of(digest)).open("rb") as file:
        await store.retire(digest, AT)
        for one in [one async for one in store.set_aside()]:
            await store.drop(one)
        assert file.read() == DATA
