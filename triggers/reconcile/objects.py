"""Objects that lie in a bucket now against the inbox: which has no event, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from triggers.base import Arrival, Binding
from triggers.event import Event
from triggers.match import offer
from triggers.objects.event import ObjectChange, event_of, landed
from triggers.objects.feed import CURSOR, marks_in, scope_of
from triggers.objects.memory import Marks, mark_of
from triggers.objects.scan import Looker, Scan, looker_of, sums_of
from triggers.reconcile.reconciled import REMOVED, UNSIGNED, Ground, Reconciled

GRACE_S = 60.0


@dataclass(frozen=True, slots=True)
class _There:
    """What is there, complete; whether it was told of by our own memory; since when it is there."""

    event: Event
    told: bool
    since: datetime


async def objects(binding: Binding, ground: Ground) -> Reconciled:
    """Every object, or folder, that matches and is complete has an event. Raises `SourceUnavailable`."""
    looker = looker_of(binding.trigger)
    stored = dict(await ground.inbox.positions(scope_of(binding.trigger)))
    stored.pop(CURSOR, None)
    marks, found = marks_in(stored), Reconciled()
    if binding.trigger.pattern.folders:
        await _compare(binding, await _folders(looker, marks, found, ground.now), ground, found)
        found.tell_waiting()
        return found
    scan = Scan()
    async for chunk in looker.listed(looker.pattern.prefix):
        wanted = [one for one in chunk if looker.wanted(one.key)]
        await _compare(binding, await _objects(looker, wanted, marks, scan, found), ground, found)
    found.tell_waiting()
    return found


async def _objects(
    looker: Looker, wanted: Sequence[ObjectChange], marks: Marks, scan: Scan, found: Reconciled
) -> list[_There]:
    there = []
    for one in wanted:
        found.checked += 1
        told = mark_of(one.key, one.mark) in marks
        if told and looker.place.store == "gs":
            # To know its event its generation would have to be asked for.
            continue
        if not told and not await looker.is_complete(one, scan):
            found.waits(f"object {looker.place.url(one.key)}", UNSIGNED)
        elif (exact := await looker.exact(one)) is not None:
            there.append(_There(event_of(exact), told, exact.at))
    return there


async def _folders(looker: Looker, marks: Marks, found: Reconciled, now: datetime) -> list[_There]:
    there, scan = [], Scan()
    for folder, total in (await sums_of(looker)).items():
        found.checked += 1
        told = mark_of(f"{folder}/", total.digest) in marks
        is_sign = looker.policy.sign is not None
        if not told and (not await looker.is_whole(folder, scan) if is_sign else not total.files):
            found.waits(f"folder {looker.place.url(folder)}/", UNSIGNED)
            continue
        at = total.newest if total.files else now
        made = landed(looker.place, folder, total.digest, at=at, files=total.files, size_bytes=total.size_bytes)
        there.append(_There(made, told, at))
    return there


async def _compare(binding: Binding, there: Sequence[_There], ground: Ground, found: Reconciled) -> None:
    known = await ground.known.keys([one.event.key for one in there])
    for one in there:
        if one.event.key in known:
            continue
        what = f"object {one.event.data['url']}"
        if one.told and ground.may_be_removed(one.since):
            found.lack(what, f"told of, and {REMOVED}", expected=True)
        elif one.told:
            why = "told of, and without an event: was it removed?"
            found.lack(what, why, Arrival(one.event, [offer(binding, one.event)]))
        elif ground.now - one.since < timedelta(seconds=binding.trigger.poll_s + GRACE_S):
            found.lack(what, "written just now: still on its way", expected=True)
        else:
            when = one.since.isoformat()
            why = f"complete (written {when}) and not seen: does a daemon with the role triggers list it?"
            found.lack(what, why, Arrival(one.event, [offer(binding, one.event)]))
