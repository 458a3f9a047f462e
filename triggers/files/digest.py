"""What is in a file: its digest, taken only of what did not change meanwhile."""

from __future__ import annotations

import hashlib
import os
import stat
import threading

from triggers.errors import SourceUnavailable, TriggerError
from triggers.files.policy import LONGEST_MANIFEST, Policy, Promise
from triggers.files.stamp import Found, file_stamp, folder_stamp, members_of

BLOCK_BYTES = 1 << 20


class FileChanged(SourceUnavailable):
    """A file was written, replaced or removed while it was read: it is not complete yet."""


class PromiseBroken(TriggerError):
    """A file is not what its manifest says."""


def identify(found: Found, policy: Policy, stop: threading.Event) -> tuple[str, str | None]:
    """The identity of what was found, and the BLAKE2b digest of its content (None where digesting is off).

    Reads it all, so call it off the loop; `stop` makes it give up. Raises `FileChanged`, `PromiseBroken` and OSError.
    """
    if found.files is not None:
        digest = _digest_folder(found, policy, stop)
        return digest, digest if policy.digest else None
    if not policy.digest:
        return f"{found.size_bytes}-{found.mtime_ns}", None
    promise = found.promises.get(found.path.rpartition("/")[2])
    digest = digest_file(found.path, found.stamp, promise, follow=policy.follow_symlinks, stop=stop)
    return digest, digest


def digest_file(path: str, stamp: str, promise: Promise | None, *, follow: bool, stop: threading.Event) -> str:
    """The BLAKE2b-256 digest of a file that looks like `stamp` before and after. Raises like `identify`."""
    digest = hashlib.blake2b(digest_size=32)
    check = hashlib.new(promise.algorithm, usedforsecurity=False) if promise and promise.algorithm else None
    descriptor = _open(path, follow=follow)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123
        status = os.fstat(descriptor)
        _expect(path, stamp, status)
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
            if check is not None:
                check.update(block)
            # A file that grows as fast as it is read would never end.
            if stop.is_set() or file.tell() > status.st_size:
                raise FileChanged(f"{path} grew while it was read, or the daemon stops")
    _expect(path, stamp, os.stat(path, follow_symlinks=follow))  # noqa: PTH116 (a Path costs more)
    if check is not None and promise is not None and check.hexdigest() != promise.checksum:
        raise PromiseBroken(
            f"its {promise.algorithm} is {check.hexdigest()}, its manifest says {promise.checksum or 'nothing'}:"
            " write the file or the manifest again"
        )
    return digest.hexdigest()


def read_manifest(path: str, *, follow: bool) -> bytes:
    """What is in a manifest. Raises OSError, and ValueError for what is no file or too long to be one."""
    descriptor = _open(path, follow=follow)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read(LONGEST_MANIFEST + 1)
    finally:
        os.close(descriptor)
    if len(raw) > LONGEST_MANIFEST:
        raise ValueError(f"it is longer than {LONGEST_MANIFEST} bytes")
    return raw


def _open(path: str, *, follow: bool) -> int:
    """A descriptor to read from. Without O_NONBLOCK, a pipe put in the file's place would block us for ever."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))


def _expect(path: str, stamp: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or file_stamp(status) != stamp:
        raise FileChanged(f"{path} changed while it was read")


def _digest_folder(found: Found, policy: Policy, stop: threading.Event) -> str:
    """The digest of the listing: names, sizes, and digests (mtimes where digesting is off)."""
    listing = hashlib.blake2b(digest_size=32)
    members = members_of(found.path, policy)
    if folder_stamp(members) != found.stamp:
        raise FileChanged(f"{found.path} changed while it was read")
    for member in members:
        content = str(member.status.st_mtime_ns)
        if policy.digest:
            promise = found.promises.get(member.name)
            content = digest_file(member.path, file_stamp(member.status), promise, follow=False, stop=stop)
        listing.update(os.fsencode(f"{member.name}\0{member.status.st_size}\0{content}\0"))
    if folder_stamp(members_of(found.path, policy)) != found.stamp:
        raise FileChanged(f"{found.path} changed while it was read")
    return listing.hexdigest()
