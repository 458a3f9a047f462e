"""What requests carry, checked."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from service.api.years import day_in_reach, in_reach
from service.callers import BUILT_IN
from stages.policy import MOST_PRIORITY
from triggers.attributes import is_text


def _plain(value: str) -> str:
    if value and not is_text(value):
        raise ValueError("control characters are not allowed")
    return value


def _no_nul(value: str) -> str:
    return value.replace("\0", "\ufffd")


def _own_name(value: str) -> str:
    """What people and programs may be called: it stands in addresses, in logs and where people decide whom to trust."""
    if not value[:1].isalnum() or not all(one.isalnum() or one in _BETWEEN for one in value):
        raise ValueError("a name has letters, digits, spaces and . _ - + @ only, and begins with a letter or a digit")
    if value.casefold() in BUILT_IN:
        raise ValueError(f"{value} is what the daemon calls whoever has no name: choose another")
    return value


_BETWEEN = " ._-+@"
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True), AfterValidator(_plain)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(_plain)]
Text = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_no_nul)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8,64}$")]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
RunNumber = Annotated[int, Field(ge=1, le=2**63 - 1)]


Days = Annotated[float, Field(ge=0, le=36_500, strict=False)]
Instant = Annotated[AwareDatetime, Field(strict=False), AfterValidator(in_reach)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$"), AfterValidator(day_in_reach)]
Payload = Annotated[str, StringConstraints(max_length=16 * 1024 * 1024)]
Tags = Annotated[list[Name], Field(max_length=50)]


class Body(BaseModel):
    """A field that is not known is an error: it would be passed over in silence."""

    model_config = ConfigDict(extra="forbid", strict=True)


class StartBody(Body):
    """A start by hand. `id` identifies it, as the header `Idempotency-Key` does. `tags` are added to the pipeline's,
    `priority` replaces its own.
    """

    params: dict[str, Any] = {}
    data: Any = None
    tags: Tags = []
    id: Key | None = None
    by: Name = "api"
    priority: Annotated[int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] | None = None


class ByBody(Body):
    """Who asks."""

    by: Name = "api"


class ResumeBody(ByBody):
    """What to change before a run goes on. `from`: that stage and all that need it are made again.

    `params` replace those of the run. `on`: `latest` moves the run to the version that is loaded. With `dry_run`
    nothing is done.
    """

    since: Annotated[Key | None, Field(alias="from")] = None
    params: dict[str, Any] | None = None
    on: Literal["same", "latest"] = "same"
    dry_run: bool = False


class SkipBody(Body):
    """Who passes over a stage, and why. `on`: `latest` moves the run to the version that is loaded. With `dry_run`
    nothing is done.
    """

    by: Name = "api"
    reason: Annotated[Text, Field(min_length=1)]
    on: Literal["same", "latest"] = "same"
    dry_run: bool = False


class AbandonBody(Body):
    """Who gives a run up, and why."""

    by: Name = "api"
    reason: Annotated[Text, Field(min_length=1)]


class PauseBody(Body):
    """What to pause: a pipeline, or a trigger as `pipeline/trigger`; and why."""

    what: Key
    by: Name = "api"
    reason: Text = ""


class UnpauseBody(Body):
    """What to go on with: a pipeline, or a trigger as `pipeline/trigger`."""

    what: Key
    by: Name = "api"


class CleanUpBody(Body):
    """What may go, where it is not as the settings say; without `dry_run` it goes."""

    dry_run: bool = True
    by: Name = "api"
    days: Days | None = None
    runs: Number | None = None
    events_days: Days | None = None


class TokenBody(Body):
    """A token: whose it is, what it may do, whose gates it may decide (patterns, for the role approver), and for how
    long it stands (90 days, if nothing is said; null: until it is revoked).
    """

    name: Annotated[Name, AfterValidator(_own_name)]
    roles: Annotated[list[Literal["viewer", "operator", "approver", "admin"]], Field(min_length=1, max_length=4)]
    pipelines: Annotated[list[Name], Field(max_length=50)] = []
    expires_s: Annotated[float | None, Field(ge=1, le=10 * 366 * 86_400, strict=False)] = 90 * 86_400.0
    by: Name = "api"


class BackfillBody(Body):
    """A backfill of `trigger` (`pipeline/trigger`, or a pipeline with one schedule): its ticks due from `from` to `to`
    (default: now), both included. A day alone is the whole of it in the schedule's time zone, today's up to now.

    `max_parallel` runs are under way at once. `again` also runs ticks that ran already. `stop_on_failure` starts no
    more once a run failed. With the same `id` it is the same backfill.
    """

    trigger: Key
    since: Annotated[Instant | Day, Field(alias="from")]
    until: Annotated[Instant | Day | None, Field(alias="to")] = None
    max_parallel: Annotated[int, Field(ge=1, le=10_000)] = 1
    order: Literal["oldest", "newest"] = "oldest"
    again: bool = False
    stop_on_failure: bool = False
    priority: Annotated[int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] = -MOST_PRIORITY
    id: Key | None = None
    by: Name = "api"


class ExplainBody(Body):
    """An event to explain: `event` is the id or key of one that was accepted; else `payload` is a CloudEvent in JSON,
    or what `as` says: the value of a record (`kafka:TOPIC`, with its `record_key` and `headers`), the body of a
    delivery (`webhook:HOOK`, with its `headers`), or nothing, for a file (`file:PATH`).
    """

    event: Key | None = None
    payload: Payload = ""
    form: Annotated[Key | None, Field(alias="as")] = None
    headers: dict[Name, Text] = {}
    record_key: Key | None = None


class FireBody(Body):
    """A trigger to fire: its `name` as `tidemill triggers` has it. `id` tells it apart, as `Idempotency-Key` does.

    `payload` is the text of a record (with its `record_key`), a body or the data; `path` is that of a file; `at` is
    when it happens.
    """

    name: Key
    payload: Payload = ""
    path: Key | None = None
    headers: dict[Name, Text] = {}
    record_key: Key | None = None
    at: Instant | None = None
    id: Key | None = None
    by: Name = "api"
    dry_run: bool = False


class ReplayBody(Body):
    """An accepted event to run again, by its id or key. `on`: `latest`, or a version whose code is kept.

    Without `effects` the run is in shadow: it changes nothing outside. Without `reuse` every stage is run.
    """

    event: Key
    pipeline: Name | None = None
    on: Name = "latest"
    effects: bool = False
    reuse: bool = True
    id: Key | None = None
    by: Name = "api"


class ReconcileBody(Body):
    """Which trigger to compare with the inbox (default: all), for which time (default: the last day).

    With `repair` what is missing is accepted, with the identity it would have had.
    """

    trigger: Key | None = None
    since: Annotated[Instant | None, Field(alias="from")] = None
    until: Annotated[Instant | None, Field(alias="to")] = None
    repair: bool = False


class KnownBody(Body):
    """Ids of events of one source."""

    source: Key
    ids: Annotated[list[Key], Field(max_length=1000)]


class DueBody(Body):
    """A trigger, and a time: from `from` on (default: a day ago), before `to` (default: now)."""

    trigger: Key
    since: Annotated[Instant | None, Field(alias="from")] = None
    until: Annotated[Instant | None, Field(alias="to")] = None


class BacktestBody(DueBody):
    """A trigger, the time, and what would be different: a `where`, a `cron` expression, `batch(100, 60)` and so on."""

    where: dict[str, Any] | None = None
    cron: Key | None = None
    every: Name | None = None
    timezone: Name | None = None
    coalesce: Name | None = None


class DecideBody(Body):
    """A decision: who makes it, why, and about which artifact: its digest, or the first 8 or more characters of it."""

    personal: ClassVar[bool] = True

    by: Name
    reason: Text = ""
    subject: Prefix | None = None


class LinkBody(Body):
    """A one-time link: whom it is for, which way that person decides, and for how long it can be used (30 days at most;
    a day, if nothing is said).
    """

    person: Annotated[Name, Field(alias="for")]
    decision: Literal["approve", "reject"]
    expires_s: Annotated[float, Field(ge=1, le=30 * 86_400, strict=False)] = 86_400.0
    by: Name = "api"


class VersionBody(Body):
    """A model version; `artifacts` and `lineage` map a role to an artifact's digest."""

    artifacts: dict[Name, Digest]
    metrics: dict[Name, float] = {}
    lineage: dict[Name, Digest] = {}
    run_id: RunNumber | None = None
    pipeline: Name | None = None


class AliasBody(Body):
    """Where an alias is to point, and where the caller saw it point (null: nowhere)."""

    version: Number
    expect: Number | None = None
