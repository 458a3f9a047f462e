"""The one way in: turns what triggers offer into rows, and waits until they are committed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from service.audit import untold
from service.catalogue import Catalogue
from service.cause import cause_of, too_deep
from service.db.accept import Accept, Accepted
from service.db.audit import PutAudit
from service.db.offered import EventRow, FateRow, Place, RunRow
from service.db.reads import Reads
from service.db.writer import Operation, Writer
from service.errors import DatabaseUnavailable
from service.fates import STRENGTH
from service.limits import limits_of
from service.terms import judged, terms_of
from stages.errors import InvalidParams
from stages.params import plain_params
from triggers.base import Arrival, Fate, Offer, Position, Receipt, RunId
from triggers.cloudevents import to_json
from triggers.errors import InboxBusy, InboxFull
from triggers.event import Event, EventKey, utc_now
from triggers.handling import PLAIN
from triggers.marked import hidden

COMMIT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class TakenRun:
    """A run this process started and drives from the moment it is committed."""

    run_id: RunId
    pipeline: str
    event: Event
    params: bytes
    depth: int = 0


class HandOver(Protocol):
    """The executor of this process, as the inbox sees it. Places are held from when a flush is made until it has
    committed: one comes after the other, so nobody who waits for a flush holds places that another could use.
    """

    def reserve(self, wanted: int) -> int:
        """Hold up to `wanted` places and return how many; each is given back through `begin`."""

    def begin(self, reserved: int, runs: Sequence[TakenRun]) -> None:
        """Give back `reserved` places and drive `runs` in them."""


class NoHandOver:
    """For a process that accepts events but drives no runs."""

    def reserve(self, wanted: int) -> int:
        """Nothing to give."""
        return 0

    def begin(self, reserved: int, runs: Sequence[TakenRun]) -> None:
        """Nothing was reserved."""


class PostgresInbox:
    """Implements `triggers.base.Inbox` over the group-commit writer.

    `accepted` counts the new events of this process by the kind of their trigger and by fate; `heard_at` tells when
    each trigger (pipeline, name) last had one, `came_at` (by `time.monotonic`) when it had one that its filters let
    through.
    """

    def __init__(self, writer: Writer, reads: Reads, catalogue: Catalogue, hand_over: HandOver) -> None:
        self._writer = writer
        self._reads = reads
        self._catalogue = catalogue
        self._hand_over = hand_over
        self._kinds = {(one.pipeline, one.trigger.name): one.trigger.kind for one in catalogue.bindings()}
        self.accepted: Counter[tuple[str, Fate]] = Counter()
        self.heard_at: dict[tuple[str, str], datetime] = {}
        self.came_at: dict[tuple[str, str], float] = {}

    async def positions(self, scope: str) -> Mapping[str, str]:
        """See `triggers.base.Inbox`."""
        try:
            return await self._reads.positions(scope)
        except DatabaseUnavailable as error:
            raise InboxBusy(str(error)) from error

    async def position(self, scope: str, key: str) -> str | None:
        """One stored position, or None. Raises `InboxBusy`."""
        try:
            return await self._reads.position(scope, key)
        except DatabaseUnavailable as error:
            raise InboxBusy(str(error)) from error

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        """See `triggers.base.Inbox`. Durable by `service/db/sql/accept.sql`, in the flush this waits for."""
        self.refuse_when_busy()
        [accepted] = await self.submit(self.operation_for(arrivals, positions))
        return self.receipts(arrivals, accepted)

    async def submit(self, *operations: Operation) -> list[Any]:
        """Write `operations` for somebody who waits outside. Raises `InboxBusy` when that takes too long.

        What was given up on may still be written: whoever tries again must be safe to repeat. Of a request that is to
        be on record the note goes with it.
        """
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                acting = untold()
                if acting is None:
                    return await self._writer.submit(*operations)
                return (await self._writer.submit(*operations, PutAudit(acting.note, acting.give_back)))[:-1]
        except TimeoutError as error:
            raise InboxBusy(f"Postgres did not commit within {COMMIT_TIMEOUT_S:g} s: try again") from error

    def receipts(self, arrivals: Sequence[Arrival], accepted: Accepted) -> list[Receipt]:
        """What to answer for arrivals whose `operation_for` was written."""
        receipts = [_receipt(arrival.event, accepted) for arrival in arrivals]
        now, passed_s = utc_now(), time.monotonic()
        for receipt in receipts:
            if receipt.first:
                for counted in self._counted(receipt):
                    self.accepted[counted] += 1
            for outcome in receipt.outcomes:
                self.heard_at[outcome.pipeline, outcome.trigger] = now
                if outcome.fate is not Fate.IGNORED:
                    self.came_at[outcome.pipeline, outcome.trigger] = passed_s
        return receipts

    def refuse_when_busy(self) -> None:
        """Raises `InboxBusy` or `InboxFull` when a write would have to wait long: asked before it is submitted."""
        if self._writer.outage is not None:
            raise InboxBusy(f"Postgres does not take writes now ({self._writer.outage}): try again")
        if self._writer.waiting.full:
            raise InboxFull("as much waits for Postgres already as may: try again later")

    def operation_for(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Accept:
        """The write that accepts these arrivals. Once it is made, it holds places of the executor."""
        operation, events = self._rows(arrivals, positions)
        takeable = [run for run in operation.runs if run.takeable]
        if takeable:
            taking = _Taking(self._hand_over, takeable, events)
            operation.take_places, operation.started = taking.take_places, taking.started
        return operation

    def rows_for(self, arrivals: Sequence[Arrival]) -> Accept:
        """The same write without places of the executor, for another process to submit."""
        return self._rows(arrivals, ())[0]

    def _rows(
        self, arrivals: Sequence[Arrival], positions: Sequence[Position]
    ) -> tuple[Accept, Mapping[EventKey, Event]]:
        events: list[EventRow] = []
        runs: list[RunRow] = []
        fates: list[FateRow] = []
        by_key: dict[EventKey, Event] = {}
        for arrival in judged(arrivals, utc_now()):
            row = event_row(arrival.event)
            by_key[row.key] = arrival.event
            events.append(row)
            for decided in self._decided(row.key, arrival):
                if isinstance(decided, RunRow):
                    runs.append(decided)
                else:
                    fates.append(decided)
        return Accept(events, runs, fates, positions), by_key

    def decided(self, arrival: Arrival) -> list[RunRow | FateRow]:
        """What an arrival would lead to, a row for each pipeline. Nothing is written or reserved."""
        return self._decided(arrival.event.key, arrival)

    def _decided(self, key: EventKey, arrival: Arrival) -> list[RunRow | FateRow]:
        seen = hidden(arrival.event)
        return [self._decide_all(key, seen, several) for several in _by_pipeline(arrival.offers)]

    def _counted(self, receipt: Receipt) -> list[tuple[str, Fate]]:
        found = [
            (self._kinds.get((one.pipeline, one.trigger)) or one.trigger.partition(":")[0], one.fate)
            for one in receipt.outcomes
        ]
        return found or [("none", Fate.IGNORED)]

    def _decide_all(self, key: EventKey, event: Event, offers: Sequence[Offer]) -> RunRow | FateRow:
        """What the strongest offer leads to; the others stand in for a run that is not started after all."""
        decided = self._decide(key, event, offers[0])
        if len(offers) > 1 and isinstance(decided, RunRow):
            return replace(decided, otherwise=self._decide_all(key, event, offers[1:]))
        return decided

    def _decide(self, key: EventKey, event: Event, offer: Offer) -> RunRow | FateRow:
        if offer.fate is not Fate.RAN:
            return FateRow(key, offer.pipeline, offer.trigger, offer.fate, offer.reason)
        pipeline = self._catalogue.pipelines[offer.pipeline]
        try:
            params = encode_params(pipeline.parse_params(offer.params))
        except InvalidParams as error:
            return FateRow(key, offer.pipeline, offer.trigger, Fate.DEAD, str(error))
        cause, policy = cause_of(event), pipeline.policy
        if cause is not None and (reason := too_deep(cause)):
            return FateRow(key, offer.pipeline, offer.trigger, Fate.DEAD, reason)
        return RunRow(
            event_key=key,
            pipeline=offer.pipeline,
            version=pipeline.version,
            trigger=offer.trigger,
            params=params,
            priority=policy.priority if offer.priority is None else offer.priority,
            take=False,
            limits=limits_of(policy, event, offer.handling.concurrency_key),
            tags=tuple(dict.fromkeys((*policy.tags, *offer.tags))),
            due_at=None if policy.due_s is None else event.time + timedelta(seconds=policy.due_s),
            queue_timeout_s=policy.queue_timeout_s,
            cleans=bool(policy.hooks),
            cause=cause,
            sequence=offer.sequence,
            terms=None if offer.handling is PLAIN else terms_of(offer.handling, event, params),
            pausable=offer.pausable,
        )


@dataclass(slots=True)
class _Taking:
    """The runs of one write that this process may drive at once. As many as it has places for are its own; others have
    to be claimed.
    """

    hand_over: HandOver
    takeable: Sequence[RunRow]
    events: Mapping[EventKey, Event]
    reserved: int | None = None

    def take_places(self) -> None:
        """See `Accept`. A write that is repeated keeps the places it has."""
        if self.reserved is None:
            self.reserved = self.hand_over.reserve(len(self.takeable))
            for run in self.takeable[: self.reserved]:
                run.take = True

    def started(self, new_runs: Mapping[Place, RunId]) -> None:
        """Give the places back, with those of the runs that came to be."""
        reserved = self.reserved or 0
        begun = [
            TakenRun(new_runs[row.place], row.pipeline, self.events[row.event_key], row.params, row.depth)
            for row in self.takeable[:reserved]
            if row.place in new_runs
        ]
        if reserved:
            self.hand_over.begin(reserved, begun)


def event_row(event: Event) -> EventRow:
    """An event as it is stored."""
    envelope = orjson.dumps(to_json(event))
    return EventRow(event.key, event.source, event.id, event.type, event.subject, event.time, envelope)


def encode_params(params: Any) -> bytes:
    """Checked parameters as they are stored: JSON of the model, or `{}` for a pipeline without any."""
    return b"{}" if params is None else orjson.dumps(plain_params(params))


def _by_pipeline(offers: Sequence[Offer]) -> Iterable[Sequence[Offer]]:
    """Those of each pipeline, the strongest first."""
    if len(offers) < 2:
        return [offers] if offers else ()
    found: dict[str, list[Offer]] = {}
    for offer in offers:
        found.setdefault(offer.pipeline, []).append(offer)
    return [sorted(several, key=lambda one: -STRENGTH[one.fate]) for several in found.values()]


def _receipt(event: Event, accepted: Accepted) -> Receipt:
    key = event.key
    return Receipt(event=event, first=key in accepted.new_events, outcomes=tuple(accepted.outcomes[key]))
