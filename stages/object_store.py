"""Artifacts in an object store (S3, GCS, Azure) or in memory, through obstore."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.artifacts import ASIDE, SetAside, Stored, digest_of, is_digest, mark_of, marked_at, place_of, verified
from stages.errors import ArtifactMissing, StoreUnavailable
from stages.local_store import CHUNK_BYTES, whole_file
from triggers import faults

if TYPE_CHECKING:
    from obstore.store import ClientConfig

# What is put again is young again, to within this time: no object store can be asked to make it so.
REFRESHED = timedelta(hours=1)
TIMEOUTS: ClientConfig = {"connect_timeout": "10s", "timeout": "300s"}


class ObjectStore:
    """A bucket and prefix. A put is whole and durable once the provider has answered it.

    obstore bounds every request (`TIMEOUTS`) and retries it; what it raises after that is told as transient unless
    it is about credentials, settings or a bucket that does not exist.
    """

    def __init__(self, url: str) -> None:
        from obstore.store import from_url

        self.url = url
        with self._telling("opened", passing=False):
            self._store = from_url(url) if url.startswith("memory:") else from_url(url, client_options=TIMEOUTS)

    def __repr__(self) -> str:
        return f"ObjectStore({self.url!r})"

    async def put(self, data: bytes) -> str:
        """See `ArtifactStore`."""
        digest = await asyncio.to_thread(digest_of, data)
        await self._upload(digest, data)
        return digest

    async def put_file(self, path: Path) -> str:
        """See `ArtifactStore`."""
        digest = await asyncio.to_thread(_digest_of_file, path)
        await self._upload(digest, path)
        return digest

    async def get(self, digest: str) -> bytes:
        """See `ArtifactStore`."""
        with self._telling("read", digest):
            found = await self._found(digest)
            data = bytes(await found.bytes_async())
        verified(digest, await asyncio.to_thread(digest_of, data), self.url)
        return data

    async def fetch_file(self, digest: str, to: Path) -> None:
        """See `ArtifactStore`."""
        seen = hashlib.blake2b(digest_size=32)
        with whole_file(to) as file:
            with self._telling("read", digest):
                found = await self._found(digest)
                async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    seen.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            verified(digest, seen.hexdigest(), self.url)

    async def exists(self, digest: str) -> bool:
        """See `ArtifactStore`."""
        return await self._held_since(digest) is not None or await self.bring_back(digest)

    async def delete(self, digest: str) -> None:
        """See `ArtifactStore`."""
        from obstore import delete_async

        with suppress(ArtifactMissing), self._telling("deleted from", digest):
            await delete_async(self._store, place_of(digest))

    async def stored(self) -> AsyncIterator[Stored]:
        """See `ArtifactStore`."""
        async for one in self._listed(None):
            digest = one["path"].rpartition("/")[2]
            if is_digest(digest) and one["path"] == place_of(digest):
                yield Stored(digest, one["size"], one["last_modified"])

    async def set_aside(self) -> AsyncIterator[SetAside]:
        """See `ArtifactStore`."""
        async for one in self._listed(ASIDE):
            _, digest, mark = one["path"].rsplit("/", 2)
            yield SetAside(digest, mark, one["size"], marked_at(mark))

    async def retire(self, digest: str, at: datetime) -> None:
        """See `ArtifactStore`. Copied first, so that it is in one of the two places at every moment."""
        from obstore import copy_async, delete_async

        with suppress(ArtifactMissing), self._telling("deleted from", digest):
            await copy_async(self._store, place_of(digest), f"{_aside(digest)}/{mark_of(at)}")
            await delete_async(self._store, place_of(digest))

    async def bring_back(self, digest: str) -> bool:
        """See `ArtifactStore`. The copy that was set aside stays until it is dropped."""
        from obstore import copy_async

        for one in [one async for one in self._listed(_aside(digest))]:
            with suppress(ArtifactMissing), self._telling("read", digest):
                await copy_async(self._store, one["path"], place_of(digest))
                break
        return await self._held_since(digest) is not None

    async def drop(self, one: SetAside) -> None:
        """See `ArtifactStore`."""
        from obstore import delete_async

        with suppress(ArtifactMissing), self._telling("deleted from", one.digest):
            await delete_async(self._store, f"{_aside(one.digest)}/{one.mark}")

    async def _held_since(self, digest: str) -> datetime | None:
        from obstore import head_async

        try:
            with self._telling("read", digest):
                found = await head_async(self._store, place_of(digest))
        except ArtifactMissing:
            return None
        at: datetime = found["last_modified"]
        return at

    async def _found(self, digest: str) -> Any:
        """What obstore got, once more where it had been set aside."""
        from obstore import get_async
        from obstore.exceptions import NotFoundError

        try:
            return await get_async(self._store, place_of(digest))
        except (FileNotFoundError, NotFoundError):
            await self.bring_back(digest)
            return await get_async(self._store, place_of(digest))

    async def _listed(self, prefix: str | None) -> AsyncIterator[Any]:
        from obstore import list as listed

        with self._telling("read"):
            async for batch in listed(self._store, prefix):
                for one in batch:
                    yield one

    async def _upload(self, digest: str, content: bytes | Path) -> None:
        from obstore import put_async

        held_at = await self._held_since(digest)
        if held_at is None or datetime.now(UTC) - held_at > REFRESHED:
            with self._telling("written to"):
                await faults.reach("artifact.put")
                await put_async(self._store, place_of(digest), content)
                await faults.reach("artifact.kept")

    @contextmanager
    def _telling(self, verb: str, digest: str | None = None, *, passing: bool = True) -> Iterator[None]:
        from obstore import exceptions as trouble

        lasting = (trouble.PermissionDeniedError, trouble.UnauthenticatedError, trouble.UnknownConfigurationKeyError)
        try:
            yield
        except (FileNotFoundError, trouble.NotFoundError) as error:
            if digest is not None:
                raise ArtifactMissing(f"artifact {digest} is not in {self.url}: was it deleted there?") from None
            raise self._unavailable(verb, error, passing=False) from error
        except (trouble.BaseError, OSError, ValueError) as error:
            raise self._unavailable(verb, error, passing=passing and not isinstance(error, lasting)) from error

    def _unavailable(self, verb: str, error: Exception, *, passing: bool) -> StoreUnavailable:
        said = str(error).partition("\n\nDebug source")[0]
        return StoreUnavailable(
            f"artifact store {self.url} cannot be {verb}: {said}; check the URL, the bucket, and the credentials and "
            f"endpoint in the environment",
            transient=passing,
        )


def _aside(digest: str) -> str:
    return f"{ASIDE}/{place_of(digest)}"


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
