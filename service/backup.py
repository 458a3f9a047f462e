"""Backups: a folder with a dump of the database and every artifact, made while the daemons work. See docs/backup.md.

database.dump    as of one instant (pg_dump's own format)
artifacts/       what the store held then and since, as an artifact folder has it
backup.json      written last: without it, the backup did not come to its end
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import orjson

from service.db import dumping
from service.db.facts import is_empty
from service.db.migrations import newest
from service.errors import Conflict, Invalid
from stages.artifacts import ArtifactStore, is_digest
from stages.errors import ArtifactCorrupted, ArtifactMissing
from stages.local_store import LocalStore
from stages.stores import open_store
from triggers import faults
from triggers.event import utc_now

DUMP, ARTIFACTS, ABOUT = "database.dump", "artifacts", "backup.json"
AT_ONCE = 8
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Backup:
    """What is in a folder. `missing` are artifacts that rows refer to and the store did not have, or had damaged."""

    taken_at: str
    tidemill: str
    migration: int
    artifacts: int
    copied: int
    missing: tuple[str, ...]


async def back_up(dsn: str, url: str, folder: Path, programs: Path) -> Backup:
    """Write, or bring up to date, the backup in a folder. One that is cut short leaves the one before as it was.

    The database first: what is in the store after that has all that the dump refers to, for nothing is cleaned up
    meanwhile. Of what is set aside it takes only what a row refers to: the rest is on its way out. Raises `Conflict`
    while somebody cleans up, `Invalid` for a folder that is something else or a database that no daemon ever used,
    `ServiceError`, `StoreUnavailable`.
    """
    if await is_empty(dsn):
        raise Invalid("this database has no tables of tidemill's, so there is nothing to back up: is it the right one?")
    with _nobody_elses():
        return await _copied(dsn, url, folder, programs)


async def _copied(dsn: str, url: str, folder: Path, programs: Path) -> Backup:
    _prepare(folder)
    fresh = folder / f"{DUMP}.new"
    store, copy = open_store(url), LocalStore(folder / ARTIFACTS)
    async with dumping.snapshot(dsn) as snapshot:
        taken_at = utc_now().isoformat()
        # Where nothing ends with its parent, one that was cut short may still be written, by pg_dump alone.
        fresh.unlink(missing_ok=True)
        await snapshot.dump(fresh, programs)
        copied = await copy_all((one.digest async for one in store.stored()), store, copy)
        copied += await copy_all(snapshot.referred_to(), store, copy)
        missing = [digest async for digest in snapshot.referred_to() if not await copy.exists(digest)]
        migration = snapshot.newest
    held = [one.digest async for one in copy.stored()]
    made = Backup(taken_at, version("tidemill"), migration, len(held), copied, tuple(sorted(missing)))
    about = folder / f"{ABOUT}.new"
    about.write_bytes(orjson.dumps(asdict(made), option=orjson.OPT_INDENT_2))
    fresh.replace(folder / DUMP)
    await faults.reach("backup.dumped")
    about.replace(folder / ABOUT)
    return made


async def restore(folder: Path, dsn: str, url: str, programs: Path) -> Backup:
    """Put a backup into an empty database and a store, artifacts first. Safe to repeat after it was cut short.

    Raises `Invalid` for a folder without a whole backup or of a later version, `Conflict` for a database with tables
    of ours, `ServiceError`, `StoreUnavailable`, `ArtifactCorrupted`.
    """
    made = _read(folder)
    if not await is_empty(dsn):
        raise Conflict("this database has tidemill's tables already: restore into an empty one")
    store, copy = open_store(url), LocalStore(folder / ARTIFACTS)
    await copy_all((one.digest async for one in copy.stored()), copy, store)
    await dumping.restore(dsn, folder / DUMP, programs)
    return made


async def copy_all(digests: AsyncIterator[str], source: ArtifactStore, target: ArtifactStore) -> int:
    """Copy what the target lacks, a few at once, each checked on its way; return how many. Gone ones are left out."""
    with tempfile.TemporaryDirectory(prefix="tidemill-copy-") as folder:
        waiting: asyncio.Queue[str | None] = asyncio.Queue(AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            hands = [
                tasks.create_task(_copy_each(waiting, source, target, Path(folder, str(number))))
                for number in range(AT_ONCE)
            ]
            async for digest in digests:
                await waiting.put(digest)
            for _ in hands:
                await waiting.put(None)
        return sum(hand.result() for hand in hands)


async def _copy_each(
    waiting: asyncio.Queue[str | None], source: ArtifactStore, target: ArtifactStore, between: Path
) -> int:
    copied = 0
    while (digest := await waiting.get()) is not None:
        if await target.exists(digest):
            continue
        try:
            await source.fetch_file(digest, between)
        except (ArtifactMissing, ArtifactCorrupted):
            continue
        await target.put_file(between)
        copied += 1
    return copied


def _prepare(folder: Path) -> None:
    mine = {DUMP, f"{DUMP}.new", ARTIFACTS, ABOUT, f"{ABOUT}.new"}
    if folder.exists() and (other := sorted({one.name for one in folder.iterdir()} - mine)):
        raise Invalid(f"{folder} has other things in it ({other[0]}): name a folder that is new, empty or a backup")
    folder.mkdir(parents=True, exist_ok=True)
    # One of before may have been made for all to read.
    folder.chmod(0o700)


@contextmanager
def _nobody_elses() -> Iterator[None]:
    """What is made meanwhile is for this user alone to read, whatever the shell says."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def _read(folder: Path) -> Backup:
    try:
        told = orjson.loads((folder / ABOUT).read_bytes())
        made = Backup(**{**told, "missing": tuple(told["missing"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Invalid(
            f"{folder} holds no whole backup ({error}): name the folder that `tidemill backup` wrote"
        ) from error
    if made.migration > newest():
        raise Invalid(
            f"this backup is of tidemill {made.tidemill}, which is later than this one: use that or a later one"
        )
    return made


def told(digests: Iterable[str]) -> str:
    """The first of them."""
    found = [digest for digest in digests if is_digest(digest)]
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
