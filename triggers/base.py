"""What every trigger is made of, and the one interface through which it speaks to the daemon.

Data travels one way: a trigger makes `Event`s, asks its bindings what to offer (`Arrival`), and hands a batch to
`Inbox.accept`. Nothing is acknowledged to the outside before `accept` has returned.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NewType, Protocol

from triggers.coalesce import Coalesce
from triggers.declared import Declared
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.handling import PLAIN, Handling
from triggers.marked import check_secrets
from triggers.missed import Missed, MissedPolicy
from triggers.numbers import is_whole
from triggers.ranges import AnyRange as AnyRange
from triggers.ranges import Bad as Bad
from triggers.ranges import OffsetRange as OffsetRange
from triggers.ranges import Record as Record
from triggers.ranges import RecordKeeper as RecordKeeper
from triggers.ranges import RecordReader as RecordReader
from triggers.ranges import ShardRange as ShardRange
from triggers.ranges import range_of_event as range_of_event
from triggers.ranges import range_of_fields as range_of_fields
from triggers.rate import RateLimit
from triggers.route import Route
from triggers.where import check_params, check_where

RunId = NewType("RunId", int)


class Fate(enum.StrEnum):
    """What an event led to in one pipeline."""

    RAN = "ran"
    COALESCED = "coalesced"
    IGNORED = "ignored"
    LATE = "late"
    PAUSED = "paused"
    RATE_LIMITED = "rate-limited"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Offer:
    """What one trigger of one pipeline makes of an event: start a run (`RAN`), or why not.

    `params` are the raw parameters for the run; the inbox checks them against the pipeline's type and turns an
    offer with wrong ones into a `DEAD` fate with the reason. `tags` are added to those of the pipeline, `priority`
    replaces its own. `handling` is what the trigger's settings say; the inbox turns an offer to start a run into
    `COALESCED`, `LATE` or `RATE_LIMITED` by it, and into `PAUSED` where somebody has paused the trigger, unless the
    offer is not `pausable`. Of the runs of one `sequence` each starts only when the one accepted before it has
    succeeded, or was given up by a person.
    """

    pipeline: str
    trigger: str
    fate: Fate = Fate.RAN
    reason: str = ""
    params: Mapping[str, Any] | None = None
    tags: Sequence[str] = ()
    priority: int | None = None
    handling: Handling = PLAIN
    pausable: bool = True
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event and what the triggers that saw it offer. No offers: nobody listens, it is kept as ignored."""

    event: Event
    offers: Sequence[Offer]


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source was read. Moves in the same transaction that accepts the events it covers.

    With `expect` the move is a compare-and-set (`""`: there must be no position yet); without it, an upsert, or with
    the value `""` the end of the position.
    """

    scope: str
    key: str
    value: str
    expect: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The recorded fate of an event in one pipeline. `run_id` is the run it started or was coalesced into."""

    pipeline: str
    trigger: str
    fate: Fate
    reason: str
    run_id: RunId | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer for one arrival, true because it is committed. `first` is False for a repeat of the event."""

    event: Event
    first: bool
    outcomes: Sequence[Outcome]


class Inbox(Protocol):
    """The one way in. Implemented by the daemon over Postgres."""

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        """Store events, fates, runs and positions in one transaction; return after it has committed.

        Safe to call twice with the same events: a repeat returns the first outcome. At most one of `positions`
        may carry `expect`. Raises `PositionMoved` (nothing stored) and `InboxBusy` (try again later).
        """

    async def positions(self, scope: str) -> Mapping[str, str]:
        """Every stored position of a scope, by key. Raises `InboxBusy` (try again later)."""


# A hundred years: nobody means more.
LONGEST_WAIT_S = 100 * 365 * 86_400.0
# It stands in indexes with the name of its pipeline, and an entry of those has 2,704 bytes at most.
_LONGEST_NAME = 500


@dataclass(frozen=True, kw_only=True)
class Trigger(metaclass=Declared):
    """Something to listen for. Subclasses are frozen dataclasses and say in `listener` who serves them.

    `where` filters events (see `triggers.where`), `params` maps run parameters to paths into the event or to literal
    values (`{"month": "data.month", "trees": {"value": 50}}`), `name` must be unique within a pipeline and defaults
    to kind and target. `coalesce` lets events share a run (`Batch`, `Latest`; None: each has its own). `missed`,
    `max_age_s` and `max_burst` say which old events still run (see `MissedPolicy`), `rate_limit` how many runs start in
    a time. `concurrency_key` is where its events carry what the pipeline's `Concurrency` goes by, `priority` (-100 to
    100) stands for that of the pipeline. Where nothing comes for `expect_every_s`, an alarm is raised. `secrets` are
    paths into the data (`data.card.number`) that everybody but stages sees as `***`. Raises `InvalidTrigger`.
    """

    kind: ClassVar[str]
    host: ClassVar[str | None] = None
    # Whether it judges itself which of its events are late, instead of leaving it to the inbox.
    judges_missed: ClassVar[bool] = False
    # Whether its events are batches already: several of them in one run would have no order of their own.
    gathers: ClassVar[bool] = False

    where: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    enabled: bool = True
    coalesce: Coalesce | None = None
    missed: Missed = "all"
    max_age_s: float | None = None
    max_burst: int | None = None
    rate_limit: RateLimit | None = None
    concurrency_key: str | None = None
    priority: int | None = None
    expect_every_s: float | None = None
    secrets: Sequence[str] = ()
    handling: Handling = field(default=PLAIN, init=False, repr=False, compare=False)

    @classmethod
    def listener(cls) -> type[Listener] | None:
        """The class that serves this kind, or None where it only waits to be called."""
        if cls.host is None:
            return None
        module, _, name = cls.host.partition(":")
        served_by: type[Listener] = getattr(import_module(module), name)
        return served_by

    def default_name(self) -> str:
        """The name when none was given, such as `cron:0 2 * * *`."""
        return self.kind

    @property
    def ear(self) -> str | None:
        """Where it hears data of senders: those with the same ear hear the same events. None: nowhere."""
        return None

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """Why nothing that comes by `route` reaches this trigger of `pipeline`; None where it does."""
        return None if route.kind == self.kind else f"it hears only what its own listener brings, not {route}"

    def passes_over(self, event: Event) -> str | None:
        """Why this trigger takes no notice of an event that reached it, before `where` is asked; None where it does.

        Raises `InvalidEvent` where the event is what could not be read: it is dead then.
        """
        return None

    def lacks(self, root: Path) -> Sequence[str]:
        """What it still waits for on this machine, a sentence each, for `tidemill doctor`. Changes nothing."""
        return ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InvalidTrigger(f"{type(self).__name__}: name={self.name!r}: give text, as in name='nightly'")
        if not self.name:
            object.__setattr__(self, "name", self.default_name())
        if len(self.name) > _LONGEST_NAME:
            raise InvalidTrigger(
                f"{type(self).__name__}: its name has {len(self.name)} characters, {self.name[:40]!r}...: "
                f"give it a shorter one, of up to {_LONGEST_NAME}, with name="
            )
        check_where(self.where, self.name)
        check_params(self.params, self.name)
        _check_settings(self)
        check_secrets(self)
        object.__setattr__(self, "handling", _handling(self))


def _check_settings(trigger: Trigger) -> None:
    what = trigger.name
    if not isinstance(trigger.enabled, bool):
        raise InvalidTrigger(f"{what}: enabled={trigger.enabled!r}: give True or False")
    if not isinstance(trigger.coalesce, Coalesce | None):
        raise InvalidTrigger(
            f"{what}: coalesce={trigger.coalesce!r}: give Batch(max_events, max_wait_s), Latest(quiet_s, max_wait_s), "
            f"or None for a run of each event"
        )
    if trigger.coalesce is not None and trigger.gathers:
        raise InvalidTrigger(f"{what}: its events are batches already: say how large by its own settings, not coalesce")
    if not isinstance(trigger.rate_limit, RateLimit | None):
        raise InvalidTrigger(f"{what}: rate_limit={trigger.rate_limit!r}: give RateLimit(runs, per_s), or None")
    key = trigger.concurrency_key
    if key is not None and not (isinstance(key, str) and all(key.split("."))):
        raise InvalidTrigger(f"{what}: concurrency_key={key!r} is no path into the event, such as data.customer")
    expected_s = trigger.expect_every_s
    if expected_s is not None and (
        isinstance(expected_s, bool) or not isinstance(expected_s, int | float) or not 1 <= expected_s <= LONGEST_WAIT_S
    ):
        raise InvalidTrigger(
            f"{what}: expect_every_s={expected_s!r}: give the seconds within which something is to come, 1 or more"
        )
    if trigger.priority is not None and not is_whole(trigger.priority, -100, 100):
        raise InvalidTrigger(f"{what}: priority={trigger.priority!r}: give a whole number from -100 to 100")


def _handling(trigger: Trigger) -> Handling:
    try:
        missed: MissedPolicy | None = MissedPolicy(trigger.missed, trigger.max_age_s, trigger.max_burst)
    except InvalidTrigger as error:
        raise InvalidTrigger(f"{trigger.name}: {error}") from None
    if trigger.judges_missed or missed == _RUN_ALL:
        missed = None
    made = Handling(trigger.coalesce, missed, trigger.rate_limit, trigger.concurrency_key)
    return PLAIN if made == PLAIN else made


_RUN_ALL = MissedPolicy("all", None, None)


@dataclass(frozen=True, slots=True)
class Binding:
    """One trigger as one pipeline listens with it."""

    pipeline: str
    trigger: Any

    @property
    def name(self) -> str:
        """`pipeline/trigger`, unique in the daemon; part of deterministic ids, so it must stay stable."""
        return f"{self.pipeline}/{self.trigger.name}"


class ListenerState(enum.StrEnum):
    """Whether a trigger hears anything."""

    STARTING = "starting"
    LISTENING = "listening"
    RETRYING = "retrying"
    STOPPED = "stopped"


@dataclass(slots=True)
class TriggerStatus:
    """What a listener knows of one of its bindings; shown by `tidemill triggers` and `/readyz`.

    `lag_s`: how long what waits has waited, at most; whoever supervises the listener works it out. `read_until`: when
    the newest of what was read was written, where its source says so.
    """

    binding: str
    kind: str
    state: ListenerState = ListenerState.STARTING
    note: str = ""
    last_seen_at: datetime | None = None
    next_due_at: datetime | None = None
    lag_records: int | None = None
    lag_s: float | None = None
    read_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How to reach the schema registry. `headers` carry our credentials, `tls` is an SSL context."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Any = None


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """How to reach the broker. `options` go to every aiokafka client (security, SASL, TLS context).

    A consumer silent for `session_s` loses its partitions to the others of its group. `registry` has the schemas of
    values that are framed for one. `embedded`: it is the broker in memory of a first try, with the faults of that one
    (docs/kafka.md lists them).
    """

    bootstrap_servers: str
    group_prefix: str = "tidemill"
    options: Mapping[str, Any] = field(default_factory=dict)
    create_topics: bool = False
    session_s: float = 10.0
    embedded: bool = False
    registry: RegistryAccess | None = None


class Clock(Protocol):
    """Where time comes from, so that tests own it."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the daemon lends its listeners. `root` is the folder relative paths start from."""

    inbox: Inbox
    clock: Clock
    root: Path
    kafka: KafkaAccess | None = None
    fetched: RecordKeeper | None = None


class Listener(Protocol):
    """Serves all bindings of one or more trigger kinds with one loop (one consumer, one clock, one watch).

    Expected trouble outside (broker away, folder deleted) is retried inside with backoff and told in `statuses`;
    anything else leaves `run` and takes the process down loudly.
    """

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None: ...

    async def run(self) -> None:
        """Listen until cancelled."""

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding."""
