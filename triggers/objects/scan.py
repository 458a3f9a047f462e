"""Looking through a bucket: which objects, or whole folders, are there and complete. What is new decides the feed.

A bucket is listed in the order of its keys, a thousand at a time; nothing here holds more than that, but a sum for each
folder where whole folders are wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from triggers.files.policy import LONGEST_MANIFEST, Policy, Sign, Verdict, parse_manifest
from triggers.objects import Objects
from triggers.objects.access import telling
from triggers.objects.event import ObjectChange, bare_etag
from triggers.objects.place import ObjectPattern, Place

CHUNK = 1_000
SIGNS_KEPT = 1_000
_MD5_HEX = 32


@dataclass(slots=True)
class FolderSum:
    """What is in a folder, as a sum that does not depend on the order in which it was listed."""

    sum: int = 0
    files: int = 0
    size_bytes: int = 0
    newest: datetime = datetime.min.replace(tzinfo=UTC)

    def add(self, name: str, one: ObjectChange) -> None:
        """Count an object in, by its name below the folder."""
        content = f"{name}\0{one.size_bytes}\0{one.mark}".encode("utf-8", "surrogatepass")
        self.sum = (self.sum + int.from_bytes(hashlib.blake2b(content, digest_size=32).digest(), "big")) % (1 << 256)
        self.files += 1
        self.size_bytes += one.size_bytes or 0
        self.newest = max(self.newest, one.at)

    @property
    def digest(self) -> str:
        """The same for the same names, sizes and contents."""
        return f"{self.sum:064x}"


@dataclass(slots=True)
class Scan:
    """What one look through a bucket has found out on its way; signs are asked for once."""

    signs: dict[str, Sign] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


class Looker:
    """Looks into one bucket for one pattern, under one policy."""

    def __init__(self, store: Any, place: Place, pattern: ObjectPattern, policy: Policy) -> None:
        self._store = store
        self.place = place
        self.pattern = pattern
        self.policy = policy

    async def listed(self, prefix: str, after: str = "") -> AsyncIterator[list[ObjectChange]]:
        """The objects below `prefix` whose keys come `after`, chunk by chunk. Raises `SourceUnavailable`."""
        from obstore import list as listed

        with telling(self.place.uri):
            try:
                async for chunk in listed(self._store, prefix or None, offset=after or None, chunk_size=CHUNK):
                    yield [self._change(meta) for meta in chunk]
            except FileNotFoundError:
                # A folder of a file system that is not there holds nothing.
                if self.place.store != "file":
                    raise

    def wanted(self, key: str) -> bool:
        """Whether the pattern means this object, and it is data."""
        if not self.pattern.matches(key):
            return False
        names = key.split("/")
        return not self.policy.is_sign(names[-1]) and not any(map(self.policy.ignores, names))

    async def exact(self, one: ObjectChange) -> ObjectChange | None:
        """The object as notifications would tell of it, None where there is none.

        GCS's listings lack its generation, and the empty placeholder of a folder, `a/`, is listed as if it were `a`.
        """
        is_known = self.place.store != "gs" or one.version
        if is_known and one.size_bytes != 0:
            return one
        found = await self.find(one.key)
        return found if found is None or not is_known else one

    async def find(self, key: str) -> ObjectChange | None:
        """The object `key` as it is now. Raises `SourceUnavailable`."""
        from obstore import head_async

        with telling(self.place.uri):
            try:
                return self._change(await head_async(self._store, key))
            except FileNotFoundError:
                return None

    async def is_complete(self, one: ObjectChange, scan: Scan) -> bool:
        """Whether its marker or manifest says so. Raises `SourceUnavailable`."""
        if self.policy.sign is None:
            return True
        folder, _, name = one.key.rpartition("/")
        sign = await self._sign(folder, name, scan)
        if self.policy.complete == "marker":
            return sign.marked_ns is not None
        promise = sign.promises.get(name)
        if promise is None or promise.size_bytes not in (None, one.size_bytes):
            return False
        # Of what a manifest promises, a store tells the MD5, of objects written in one piece.
        is_md5 = promise.algorithm == "md5" and len(one.etag) == _MD5_HEX
        return not is_md5 or promise.checksum == one.etag.lower()

    async def is_whole(self, folder: str, scan: Scan) -> bool:
        """Whether a folder's marker, or its manifest and all that it lists, are there. Raises `SourceUnavailable`."""
        above, _, name = folder.rpartition("/")
        sign = await self._sign(above if self.policy.is_sign_beside else folder, name, scan)
        if self.policy.complete == "marker":
            return sign.marked_ns is not None
        sizes = {one.key.removeprefix(f"{folder}/"): one.size_bytes or 0 async for one in self._members(folder)}
        return self.policy.judge_folder(sizes, 0, sign) is Verdict.READY

    async def total(self, folder: str) -> FolderSum:
        """What is in a folder now. Asked after its marker was seen: what was there before that is all in it."""
        total = FolderSum()
        async for one in self._members(folder):
            total.add(one.key.removeprefix(f"{folder}/"), one)
        return total

    def is_member(self, key: str, folder: str) -> bool:
        """Whether an object below a folder is data of it."""
        names = key.removeprefix(f"{folder}/").split("/")
        hidden = any(name.startswith(".") or self.policy.ignores(name) for name in names)
        return not hidden and not self.policy.is_sign(names[-1])

    async def _members(self, folder: str) -> AsyncIterator[ObjectChange]:
        async for chunk in self.listed(folder):
            for one in chunk:
                if self.is_member(one.key, folder):
                    yield one

    async def _sign(self, folder: str, name: str, scan: Scan) -> Sign:
        key = f"{folder}/{self.policy.sign_of(name)}".lstrip("/")
        if key not in scan.signs:
            if len(scan.signs) >= SIGNS_KEPT:
                scan.signs.clear()
            scan.signs[key] = await self._read_sign(key, scan)
        return scan.signs[key]

    async def _read_sign(self, key: str, scan: Scan) -> Sign:
        from obstore import get_async, head_async

        with telling(self.place.uri):
            try:
                meta = await head_async(self._store, key)
                marked = Sign(int(meta["last_modified"].timestamp() * 1e9))
                if self.policy.complete == "marker":
                    return marked
                if meta["size"] > LONGEST_MANIFEST:
                    raise _NoManifest(f"it is longer than {LONGEST_MANIFEST} bytes")
                raw = bytes(await (await get_async(self._store, key)).bytes_async())
            except FileNotFoundError:
                return Sign()
            except _NoManifest as error:
                scan.troubles[key] = str(error)
                return Sign()
        try:
            return replace(marked, promises=parse_manifest(raw))
        except ValueError as error:
            scan.troubles[key] = f"it is not a manifest: {error}"
            return Sign()

    def _change(self, meta: Any) -> ObjectChange:
        return ObjectChange(
            place=self.place,
            key=meta["path"],
            at=meta["last_modified"],
            etag=bare_etag(meta["e_tag"]),
            version=meta["version"] or "",
            size_bytes=meta["size"],
        )


class _NoManifest(Exception):
    """What is called like a manifest cannot be one."""


def looker_of(trigger: Objects) -> Looker:
    """What looks for the objects of a trigger. Raises `InvalidTrigger` where a secret is missing."""
    access = trigger.access
    place = access.place
    if place.store == "az":
        place = Place(place.store, place.bucket, access.account)
    return Looker(access.open(), place, trigger.pattern, trigger.policy)


async def sums_of(looker: Looker) -> dict[str, FolderSum]:
    """What is in each folder that the pattern means, by its path. Raises `SourceUnavailable`."""
    sums: dict[str, FolderSum] = {}
    async for chunk in looker.listed(looker.pattern.prefix):
        for folder, one in of_folders(looker.pattern, chunk):
            total = sums.setdefault(folder, FolderSum())
            if looker.is_member(one.key, folder):
                total.add(one.key.removeprefix(f"{folder}/"), one)
    return {folder: total for folder, total in sums.items() if not any(map(looker.policy.ignores, folder.split("/")))}


def of_folders(pattern: ObjectPattern, chunk: Iterable[ObjectChange]) -> Iterable[tuple[str, ObjectChange]]:
    """Each object with each folder over it that the pattern means."""
    return ((folder, one) for one in chunk for folder in pattern.folders_of(one.key))
