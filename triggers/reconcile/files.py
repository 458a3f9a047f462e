"""Files that lie there now against the inbox: which has no event, and why. The disk is read off the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from triggers.base import Arrival, Binding
from triggers.event import Event, EventKey, event_key
from triggers.files.digest import FileChanged, PromiseBroken, identify
from triggers.files.event import SOURCE, landed
from triggers.files.feed import Feed
from triggers.files.policy import Verdict
from triggers.files.scan import Survey
from triggers.files.stamp import Found
from triggers.match import offer
from triggers.reconcile.reconciled import REMOVED, UNSIGNED, Ground, Reconciled

_CHUNK = 5_000


@dataclass(slots=True)
class _Look:
    """What one walk showed: files that match and were not seen as they are now, what is ignored, what is left out."""

    matched: int = 0
    unseen: list[Found] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    troubles: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    unmarked: Sequence[str] = ()


async def files(binding: Binding, ground: Ground) -> Reconciled:
    """Every file that matches and is complete has an event."""
    feed = Feed(binding.trigger.policy, [binding], str(ground.root), threading.Event())
    seen = await ground.inbox.positions(feed.scopes[0])
    feed.remember(0, seen)
    look = await asyncio.to_thread(_walk, binding, feed, ground)
    found = Reconciled(checked=look.matched)
    found.notes += [f"folder {folder} does not exist" for folder in look.missing]
    for path, why in look.troubles.items():
        found.lack(f"file {path}", why, expected=True)
    for name in look.ignored:
        found.lack(f"file {name}", "its name says that it is unfinished: it is ignored (ignore=...)", expected=True)
    for key in look.unmarked:
        found.waits(f"folder {feed.path(key)}", UNSIGNED)
    for one in look.unseen:
        await _unseen(binding, feed, one, ground, found)
    found.tell_waiting()
    await _forgotten(seen, binding, ground, found)
    return found


def _walk(binding: Binding, feed: Feed, ground: Ground) -> _Look:
    survey = Survey()
    look = _Look(unseen=list(feed.scanner.scan(survey)))
    look.matched, look.troubles, look.missing = survey.matched, dict(survey.troubles), survey.missing
    look.unmarked = sorted(survey.unmarked)
    every = Feed(replace(feed.policy, ignore=()), [binding], str(ground.root), threading.Event())
    shown = (Path(one.path).name for one in every.scanner.scan(Survey()))
    look.ignored = sorted({name for name in shown if feed.policy.ignores(name)})
    return look


async def _unseen(binding: Binding, feed: Feed, one: Found, ground: Ground, found: Reconciled) -> None:
    what = f"file {one.path}"
    settled_s = ground.now.timestamp() - one.mtime_ns / 1e9
    if one.verdict is Verdict.NOT_YET:
        found.waits(what, UNSIGNED)
    elif one.verdict is Verdict.UNCHANGED_FIRST and settled_s < feed.policy.stable_s:
        found.waits(what, f"unchanged for less than {feed.policy.stable_s:g} s")
    else:
        await _complete(binding, feed, one, ground, found)


async def _complete(binding: Binding, feed: Feed, one: Found, ground: Ground, found: Reconciled) -> None:
    """A complete file that was not seen as it is now: has what is in it had an event all the same?"""
    what = f"file {one.path}"
    try:
        identity, digest = await asyncio.to_thread(identify, one, feed.policy, threading.Event())
    except FileChanged as error:
        found.waits(what, str(error))
    except PromiseBroken as error:
        found.lack(what, str(error), expected=True)
    except OSError as error:
        found.lack(what, f"cannot be read: {error.strerror or error}")
    else:
        event = _event(one, identity, digest)
        if not await ground.known.keys([event.key]):
            landed_at = datetime.fromtimestamp(one.mtime_ns / 1e9, ground.now.tzinfo).isoformat()
            why = f"complete (written {landed_at}) and not seen: does a daemon with the role triggers look there?"
            found.lack(what, why, Arrival(event, [offer(binding, event)]))


def _event(one: Found, identity: str, digest: str | None) -> Event:
    return landed(
        path=one.path,
        key=one.key,
        size_bytes=one.size_bytes,
        mtime_ns=one.mtime_ns,
        identity=identity,
        digest=digest,
        files=one.files,
    )


async def _forgotten(seen: Mapping[str, str], binding: Binding, ground: Ground, found: Reconciled) -> None:
    """Files that are marked as seen, and of which there is no event (any more)."""
    by_key: dict[EventKey, str] = {}
    for key, value in seen.items():
        by_key[event_key(SOURCE, f"{key}@{value.rpartition(':')[2]}")] = key
    lost: dict[str, EventKey] = {}
    keys = list(by_key)
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        known = await ground.known.keys(chunk)
        lost |= {by_key[one]: one for one in chunk if one not in known}
    if lost:
        fresh = Feed(binding.trigger.policy, [binding], str(ground.root), threading.Event())
        there = await asyncio.to_thread(lambda: [one for one in fresh.scanner.scan(Survey()) if one.key in lost])
        for one in there:
            await _lost(binding, fresh, one, lost[one.key], ground, found)


async def _lost(binding: Binding, feed: Feed, one: Found, key: EventKey, ground: Ground, found: Reconciled) -> None:
    """A file that was seen, is there as it was, and has no event: retention took it, or it can be made up for."""
    try:
        identity, digest = await asyncio.to_thread(identify, one, feed.policy, threading.Event())
    except (FileChanged, PromiseBroken, OSError):
        return
    event = _event(one, identity, digest)
    if event.key != key:
        return
    if ground.may_be_removed(datetime.fromtimestamp(one.mtime_ns / 1e9, ground.now.tzinfo)):
        found.lack(f"file {one.path}", f"seen, and {REMOVED}", expected=True)
    else:
        why = "seen, and without an event: was it removed?"
        found.lack(f"file {one.path}", why, Arrival(event, [offer(binding, event)]))
