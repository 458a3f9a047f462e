"""Artifacts in an object store (S3, GCS, Azure) or in memory, through obstore."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stages.artifacts import digest_of, place_of, verified
from stages.errors import ArtifactMissing, StoreUnavailable
from stages.local_store import CHUNK_BYTES, whole_file

if TYPE_CHECKING:
    from obstore.store import ClientConfig

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
        from obstore import get_async

        with self._telling("read", digest):
            found = await get_async(self._store, place_of(digest))
            data = bytes(await found.bytes_async())
        verified(digest, await asyncio.to_thread(digest_of, data), self.url)
        return data

    async def fetch_file(self, digest: str, to: Path) -> None:
        """See `ArtifactStore`."""
        from obstore import get_async

        seen = hashlib.blake2b(digest_size=32)
        with whole_file(to) as file:
            with self._telling("read", digest):
                found = await get_async(self._store, place_of(digest))
                async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                    seen.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            verified(digest, seen.hexdigest(), self.url)

    async def exists(self, digest: str) -> bool:
        """See `ArtifactStore`."""
        from obstore import head_async

        try:
            with self._telling("read", digest):
                await head_async(self._store, place_of(digest))
        except ArtifactMissing:
            return False
        return True

    async def delete(self, digest: str) -> None:
        """See `ArtifactStore`."""
        from obstore import delete_async

        with suppress(ArtifactMissing), self._telling("deleted from", digest):
            await delete_async(self._store, place_of(digest))

    async def _upload(self, digest: str, content: bytes | Path) -> None:
        from obstore import put_async

        if not await self.exists(digest):
            with self._telling("written to"):
                await put_async(self._store, place_of(digest), content)

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


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
