"""Serves all `Files` triggers: scan, wait until complete, digest, hand to the inbox, and only then count as seen."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import islice
from typing import TypeVar

from triggers import faults
from triggers.base import Arrival, Binding, ListenerState, Offer, Surroundings, TriggerStatus
from triggers.errors import InboxBusy
from triggers.event import Event, EventKey
from triggers.files.digest import FileChanged, PromiseBroken, identify
from triggers.files.event import landed
from triggers.files.feed import Feed, Landed
from triggers.files.policy import Policy
from triggers.files.scan import Survey
from triggers.files.stamp import Found
from triggers.files.watch import FileWatch

logger = logging.getLogger("tidemill.files")

BATCH = 500
DIGESTERS = 4
TOGETHER = 32
TOGETHER_BYTES = 4 << 20
QUEUED = 1_000
# So many changes at once may have overflowed the kernel's queue, which nobody tells of.
BURST = 1_000
FOLLOW_UP_S = 1.0
UNWATCHED_RESCAN_S = 5.0
SILENT_DISK_S = 30.0

T = TypeVar("T")
Digested = Landed | FileChanged | PromiseBroken | OSError


class FilesListener:
    """One watch and one row of digesters for all file triggers, in threads of its own: stages cannot fill them up."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self._inbox = surroundings.inbox
        self._clock = surroundings.clock
        self._root = os.path.abspath(surroundings.root)  # noqa: PTH100 (resolve would rename it)
        self._stop = threading.Event()
        by_policy: dict[Policy, list[Binding]] = {}
        for binding in bindings:
            by_policy.setdefault(binding.trigger.policy, []).append(binding)
        self._feeds = [Feed(policy, group, self._root, self._stop) for policy, group in by_policy.items()]
        self._threads = ThreadPoolExecutor(DIGESTERS + 1 + len(self._feeds), thread_name_prefix="tidemill-files")
        self._watch = FileWatch(self._to_watch, self._hint, self._ask_scans, self._in_thread, self._clock)
        self._found: asyncio.Queue[tuple[Feed, Found]] = asyncio.Queue(QUEUED)
        self._landed: asyncio.Queue[Landed] = asyncio.Queue(QUEUED)
        self._last_seen_at: dict[str, datetime] = {}
        self._told: set[tuple[str, str]] = set()
        self._silent: set[str] = set()
        self._scanned = asyncio.Event()
        self._stopped = False

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for feed in self._feeds:
                    group.create_task(self._observe(feed))
                for _ in range(DIGESTERS):
                    group.create_task(self._digest())
                group.create_task(self._deliver())
                group.create_task(self._watch_once_scanned())
        finally:
            self._stopped = True
            self._stop.set()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding."""
        return [self._status(feed, binding) for feed in self._feeds for binding in feed.bindings]

    def _status(self, feed: Feed, binding: Binding) -> TriggerStatus:
        outages = [self._silence(feed), self._missing(feed, binding), self._watch.trouble if feed.watched else ""]
        state = ListenerState.RETRYING if any(outages) else ListenerState.LISTENING
        if not feed.scanned:
            state = ListenerState.STARTING
        at = feed.place_of(binding)
        incomplete = feed.incomplete(at)
        told = (_links(feed, at), _left_out(feed, at, self._root), _incomplete(feed, incomplete, self._root))
        notes = [note for note in (*outages, *told) if note]
        return TriggerStatus(
            binding=binding.name,
            kind=binding.trigger.kind,
            state=ListenerState.STOPPED if self._stopped else state,
            note="; ".join(notes),
            last_seen_at=self._last_seen_at.get(binding.name),
            lag_records=feed.lag + len(incomplete),
        )

    def _missing(self, feed: Feed, binding: Binding) -> str:
        base = next(pattern.base for pattern in feed.patterns if pattern.text == binding.trigger.pattern)
        if base not in feed.missing:
            return ""
        return f"folder {_shown(base, self._root)}/ does not exist yet: create it, watching for it"

    def _silence(self, feed: Feed) -> str:
        silent = feed.scopes[0] in self._silent
        return f"the file system has not answered for {SILENT_DISK_S:g} s: check the mount" if silent else ""

    def _now_s(self) -> float:
        return self._clock.now().timestamp()

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    # What tells of changes

    def _to_watch(self) -> Sequence[str]:
        # watchfiles would follow links to folders, out of the root and round in circles: such trees are scanned.
        return sorted({folder for feed in self._feeds if feed.scanned for folder in feed.to_watch})

    async def _watch_once_scanned(self) -> None:
        await self._scanned.wait()
        await self._watch.run()

    def _hint(self, paths: set[str], changes: int) -> None:
        now_s = self._now_s()
        for feed in self._feeds:
            if feed.watched:
                feed.hint(paths, now_s)
                if changes >= BURST:
                    feed.ask_scan(now_s, FOLLOW_UP_S)

    def _ask_scans(self) -> None:
        for feed in self._feeds:
            if feed.watched:
                feed.ask_scan(self._now_s())

    # Observe: scan and look, and pass on what is complete

    async def _observe(self, feed: Feed) -> None:
        await self._remember(feed)
        while True:
            feed.wake.clear()
            now_s = self._now_s()
            if now_s >= feed.scan_at_s or feed.clock_set_back(now_s):
                await self._scan(feed)
            await self._look(feed, feed.take_hints())
            await self._look_again(feed)
            await self._pause(feed)

    async def _remember(self, feed: Feed) -> None:
        """Load what was seen before this start. Switching digests on or off does not make old files new."""
        in_use = {scope for other in self._feeds for scope in other.scopes}
        for at, pattern in enumerate(feed.patterns):
            known = await self._patiently(partial(self._inbox.positions, feed.scopes[at]))
            otherwise = feed.scope_of(pattern, other_identity=True)
            if not known and otherwise not in in_use:
                known = await self._patiently(partial(self._inbox.positions, otherwise))
            await self._in_thread(partial(feed.remember, at, known))

    async def _scan(self, feed: Feed) -> None:
        survey = Survey()
        feed.begin_scan()
        took_s = await self._pass_on(feed, feed.scanner.scan(survey), survey)
        interval_s = feed.rescan_s
        if feed.watched and (survey.linked or self._watch.trouble):
            interval_s = min(interval_s, UNWATCHED_RESCAN_S)
        feed.surveyed(survey, self._now_s(), took_s, interval_s)
        self._scanned.set()
        self._tell(feed)
        if feed.too_much_remembered(survey.matched) and not survey.missing:
            for at in range(len(feed.patterns)):
                await self._forget_gone(feed, at)

    async def _forget_gone(self, feed: Feed, at: int) -> None:
        """Forget files long gone, also in the inbox. One that comes back meanwhile is at worst told of once more."""
        gone = await self._in_thread(partial(_gone, feed, feed.remembered(at)))
        keys = feed.long_gone(at, gone, self._now_s())
        for start in range(0, len(keys), BATCH):
            positions = feed.forget(at, keys[start : start + BATCH])
            await self._patiently(partial(self._inbox.accept, (), positions))

    async def _look(self, feed: Feed, paths: set[str]) -> None:
        """Look where something changed. What came as a folder may still be filling: a scan follows."""
        if not paths:
            return
        survey = Survey()
        await self._pass_on(feed, feed.scanner.look(sorted(paths), survey), survey)
        feed.leave_out(survey.troubles, survey.signs)
        self._tell(feed)
        if survey.walked:
            feed.ask_scan(self._now_s(), FOLLOW_UP_S)

    async def _look_again(self, feed: Feed) -> None:
        """Look at the files whose wait is over."""
        while due := feed.due(self._now_s(), BATCH):
            survey, found = Survey(), set[str]()
            await self._pass_on(feed, feed.scanner.look(map(feed.path, due), survey), survey, found)
            feed.drop(key for key in due if key not in found)

    async def _pass_on(
        self, feed: Feed, looking: Iterator[Found], survey: Survey, found: set[str] | None = None
    ) -> float:
        """Hand what is complete to the digesters; return the seconds spent looking. Holds back while they are busy."""
        took_s = 0.0
        while True:
            began_s = time.monotonic()
            chunk = await self._look_off_loop(feed, looking)
            took_s += time.monotonic() - began_s
            if not chunk:
                return took_s
            for each in chunk:
                if found is not None:
                    found.add(each.key)
                refusal = feed.refusal(each)
                if refusal is not None:
                    survey.troubles[each.path] = refusal
                elif feed.notice(each, self._now_s()):
                    await self._found.put((feed, each))

    async def _look_off_loop(self, feed: Feed, looking: Iterator[Found]) -> list[Found]:
        """The next finds. A disk that does not answer cannot be interrupted: it is told of, and waited for."""
        looked = self._in_thread(lambda: list(islice(looking, BATCH)))
        try:
            done, _ = await asyncio.wait({looked}, timeout=SILENT_DISK_S)
            if not done:
                self._silent.add(feed.scopes[0])
                logger.warning("%s: %s", feed.scopes[0], self._silence(feed))
            return await looked
        finally:
            self._silent.discard(feed.scopes[0])

    async def _pause(self, feed: Feed) -> None:
        """Wait for a hint, or until the next scan or the next file is due."""
        until_s = min(at_s for at_s in (feed.scan_at_s, feed.due_at_s()) if at_s is not None)
        async with asyncio.TaskGroup() as group:
            nap = group.create_task(self._clock.sleep(max(until_s - self._now_s(), 0.0)))
            nap.add_done_callback(lambda _: feed.wake.set())
            await feed.wake.wait()
            nap.cancel()

    def _tell(self, feed: Feed) -> None:
        """Log each trouble once."""
        for trouble in feed.troubles.items():
            if trouble not in self._told and len(self._told) < QUEUED:
                self._told.add(trouble)
                logger.warning("%s is left out for now: %s", _shown(trouble[0], self._root), trouble[1])

    # Digest

    async def _digest(self) -> None:
        while True:
            group = [await self._found.get()]
            size_bytes = group[0][1].size_bytes
            while len(group) < TOGETHER and size_bytes < TOGETHER_BYTES and not self._found.empty():
                group.append(self._found.get_nowait())
                size_bytes += group[-1][1].size_bytes
            results = await self._in_thread(partial(_digest_all, group, self._stop))
            for (feed, found), result in zip(group, results, strict=True):
                if isinstance(result, Landed):
                    await self._landed.put(result)
                else:
                    self._not_landed(feed, found, result)

    def _not_landed(self, feed: Feed, found: Found, reason: FileChanged | PromiseBroken | OSError) -> None:
        if isinstance(reason, PromiseBroken):
            feed.refuse(found, str(reason))
        elif isinstance(reason, FileChanged | FileNotFoundError | NotADirectoryError):
            feed.release(found, self._now_s(), again=True)
        else:
            feed.unread(found, f"cannot be read: {reason.strerror or reason}", self._now_s())
        self._tell(feed)

    # Deliver

    async def _deliver(self) -> None:
        while True:
            batch = [await self._landed.get()]
            while len(batch) < BATCH and not self._landed.empty():
                batch.append(self._landed.get_nowait())
            batch.sort(key=lambda each: (each.found.mtime_ns, each.found.key))
            positions = [position for each in batch for position in each.feed.positions(each)]
            await self._patiently(partial(self._inbox.accept, _arrivals(batch), positions))
            await faults.reach("file.accepted")
            self._accepted(batch)
            await faults.reach("file.seen")

    def _accepted(self, batch: Sequence[Landed]) -> None:
        now = self._clock.now()
        for each in batch:
            each.feed.accepted(each.found, now.timestamp())
            for binding in each.feed.listening_to(each.found):
                self._last_seen_at[binding.name] = now

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the inbox answers, once it is not busy. Files can wait: they lie where they are."""
        while True:
            try:
                return await ask()
            except InboxBusy as busy:
                await self._clock.sleep(busy.retry_after_s)


def _digest_all(group: Sequence[tuple[Feed, Found]], stop: threading.Event) -> list[Digested]:
    return [_digest_one(feed, found, stop) for feed, found in group]


def _digest_one(feed: Feed, found: Found, stop: threading.Event) -> Digested:
    try:
        identity, digest = identify(found, feed.policy, stop)
    except (FileChanged, PromiseBroken, OSError) as error:
        return error
    event = landed(
        path=found.path,
        key=found.key,
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        identity=identity,
        digest=digest,
        files=found.files,
    )
    return Landed(feed, found, identity, event)


def _arrivals(batch: Sequence[Landed]) -> list[Arrival]:
    """One for each event: feeds that found the same file offer together."""
    gathered: dict[EventKey, tuple[Event, list[Offer]]] = {}
    for each in batch:
        gathered.setdefault(each.event.key, (each.event, []))[1].extend(each.feed.offers(each))
    return [Arrival(event, offers) for event, offers in gathered.values()]


def _gone(feed: Feed, keys: Sequence[str]) -> list[str]:
    return [key for key in keys if _is_gone(feed.path(key))]


def _is_gone(path: str) -> bool:
    """Whether nothing is there. What cannot be looked at may well be."""
    try:
        os.lstat(path)
    except OSError as error:
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    return False


def _shown(path: str, root: str) -> str:
    return os.fsencode(path.removeprefix(root.rstrip("/") + "/")).decode("utf-8", "replace")


def _links(feed: Feed, at: int) -> str:
    if not (feed.watched and feed.is_linked(at)):
        return ""
    return f"there are symbolic links to folders: scanning every {UNWATCHED_RESCAN_S:g} s instead of watching"


def _incomplete(feed: Feed, keys: Sequence[str], root: str) -> str:
    """The first of what waits to be complete, what for, and how much more there is."""
    if not keys:
        return ""
    path = feed.path(keys[0])
    sign = feed.policy.sign_of(path.rpartition("/")[2])
    why = "it is empty" if sign is None else f"{sign} is missing, or does not describe it"
    more = f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
    return f"{_shown(path, root)} is not complete: {why}{more}"


def _left_out(feed: Feed, at: int, root: str) -> str:
    """The first of what is left out, and how much more there is."""
    troubles = feed.troubles_of(at)
    first = next(iter(troubles.items()), None)
    if first is None:
        return ""
    more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
    return f"{_shown(first[0], root)}: {first[1]}{more}"
