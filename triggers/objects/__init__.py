"""`Objects`: an object, or a whole folder of them, that lands in a bucket and is complete makes one event.

A bucket may be listed (`Objects`), may tell of its objects over HTTP (`ObjectNotices`) or through Kafka
(`ObjectTopic`), or several of these: whoever tells of it, an object is the same event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, get_args

from triggers.base import Trigger
from triggers.errors import InvalidTrigger, SourceUnavailable
from triggers.event import Event
from triggers.files import UNFINISHED
from triggers.files.policy import NAME, Policy
from triggers.kafka import Start, check_topic
from triggers.objects.access import Access
from triggers.objects.event import Change, unwanted
from triggers.objects.place import ObjectPattern
from triggers.objects.reader import NoticeReader
from triggers.route import OBJECT, Route
from triggers.webhook import Webhook

Complete = Literal["written", "marker", "manifest", "stable"]


@dataclass(frozen=True)
class Objects(Trigger):
    """Lists a bucket every `poll_s` for `s3://bucket/landing/**/*.parquet` (also `gs:`, `az:`, `file:`).

    A pattern that ends in `/` means whole folders: `s3://bucket/dt=*/` makes one event for each.

    An object is complete:

    - `written`: at once, since objects appear whole.
    - `marker`: once an object called `marker` lies in the same folder (`{name}.done`: one for each).
    - `manifest`: once a JSON object called `manifest` in the same folder lists it with the right size, and MD5 where
      both tell one.
    - `stable`, for folders: once nothing in it changed for `stable_s`.

    With `ordered`, for keys that grow with time, a listing begins after the last key seen, and everything is listed
    only every `rescan_s`; None: never, and then nothing but that key is remembered. What matches one of `ignore` in
    any part of its key is not looked at. `options` are obstore's for the provider, such as
    `{"access_key_id": "env:KEY_ID"}`; without them credentials are found as the provider's own tools find them.
    """

    kind: ClassVar[str] = "objects"
    host: ClassVar[str | None] = "triggers.objects.listener:ObjectsListener"

    url: str
    endpoint: str = field(default="", kw_only=True)
    region: str = field(default="", kw_only=True)
    options: Mapping[str, str] = field(default_factory=dict, repr=False, kw_only=True)
    poll_s: float = field(default=60.0, kw_only=True)
    complete: Complete = field(default="written", kw_only=True)
    marker: str = field(default="_SUCCESS", kw_only=True)
    manifest: str = field(default="manifest.json", kw_only=True)
    stable_s: float = field(default=60.0, kw_only=True)
    ordered: bool = field(default=False, kw_only=True)
    rescan_s: float | None = field(default=3_600.0, kw_only=True)
    ignore: Sequence[str] = field(default=UNFINISHED, kw_only=True)

    def default_name(self) -> str:
        """Such as `objects:s3://bucket/*.csv`."""
        return f"{self.kind}:{self.url}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It sees the objects, or whole folders of them, that its pattern means."""
        if route.kind != OBJECT:
            return f"it lists objects like {self.url}"
        return None if self.pattern.means(route.target) else f"{route.target} is not like {self.url}"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_access()
        self._check(self.complete in get_args(Complete), f"complete={self.complete!r} is none of {get_args(Complete)}")
        self._check(self.poll_s > 0, f"poll_s={self.poll_s} must be above 0")
        self._check(self.rescan_s is None or self.rescan_s > 0, f"rescan_s={self.rescan_s} must be above 0, or None")
        self._check(self.stable_s >= 0, f"stable_s={self.stable_s} is below 0")
        self._check(not isinstance(self.ignore, str), 'ignore takes a list of names, such as ["*.tmp"]')
        for setting in ("marker", "manifest"):
            sign = getattr(self, setting)
            self._check(sign not in ("", NAME) and "/" not in sign, f"{setting}={sign!r} is not the name of an object")
            unused = sign == getattr(type(self), setting) or self.complete == setting
            self._check(unused, f'{setting}={sign!r} is for complete="{setting}", and it is "{self.complete}"')
        self._check_kind()

    def _check_access(self) -> None:
        pairs = self.options.items() if isinstance(self.options, Mapping) else [(self.options, None)]
        self._check(
            all(isinstance(name, str) and isinstance(value, str) for name, value in pairs),
            'options maps names to text, such as {"access_key_id": "env:KEY_ID"}',
        )
        web = self.endpoint.startswith(("http://", "https://"))
        self._check(not self.endpoint or web, f"endpoint={self.endpoint!r} is no http: or https: address")
        self.pattern  # noqa: B018 (raises what is wrong with it)

    def _check(self, holds: bool, wrong: str) -> None:
        if not holds:
            raise InvalidTrigger(f'Objects("{self.url}"): {wrong}')

    @cached_property
    def pattern(self) -> ObjectPattern:
        """Which objects it means."""
        return ObjectPattern.of(self.url)

    @property
    def access(self) -> Access:
        """How its bucket is reached."""
        return Access(self.pattern.place, self.endpoint, self.region, self.options)

    def read(self, event: Event) -> bytes:
        """The content of the object that `event` told of; see `triggers.objects.reading.read_object`."""
        from triggers.objects.reading import read_object

        return read_object(event, self.access)

    def fetch(self, event: Event, to: Path) -> Path:
        """Write that content to the file `to`; see `triggers.objects.reading.fetch_object`."""
        from triggers.objects.reading import fetch_object

        return fetch_object(event, to, self.access)

    def _check_kind(self) -> None:
        if self.pattern.folders:
            when = 'complete="marker", "manifest" or "stable"'
            self._check(self.complete != "written", f"a folder is never written at once: say when it is whole: {when}")
            self._check(not self.ordered, "ordered is for single objects: a folder changes behind the last key")
        else:
            self._check(
                self.complete != "stable", "an object appears whole: stable is for folders, whose url ends in /"
            )
        self._check(not (self.ordered and self.pattern.place.store == "file"), "files are not listed in order")

    @property
    def policy(self) -> Policy:
        """What decides when its objects are complete, as for files."""
        return Policy(
            complete="rename" if self.complete == "written" else self.complete,
            stable_s=self.stable_s,
            marker=self.marker,
            manifest=self.manifest,
            digest=False,
            poll=True,
            follow_symlinks=False,
            ignore=tuple(self.ignore),
        )

    def lacks(self, root: Path) -> Sequence[str]:
        """Why its bucket cannot be listed now."""
        from triggers.objects.reading import probe

        try:
            probe(self.access, self.pattern.prefix)
        except (InvalidTrigger, SourceUnavailable) as error:
            return [str(error)]
        return []


@dataclass(frozen=True)
class ObjectNotices(Webhook):
    """Hears of objects by `POST /hooks/HOOK`: from S3 (SNS, EventBridge), MinIO, GCS (Pub/Sub) and Azure's Event Grid.

    `url` is the pattern of the objects it is about; none: all that its sender tells of. `changes` are those that start
    runs: `created`, `removed`, and `changed` for what lies beside the content. `verify` says how the sender proves
    itself, as for webhooks; `SNS` and `GooglePush` are made for these.
    """

    kind: ClassVar[str] = "object-notices"

    url: str = field(default="", kw_only=True)
    changes: Sequence[Change] = field(default=("created",), kw_only=True)

    def default_name(self) -> str:
        """Such as `object-notices:landing`."""
        return f"{self.kind}:{self.hook}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears its hook, and what a listing would tell it might have told first."""
        return None if route.kind == OBJECT else super().deaf_to(route, pipeline)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.read is not None:
            raise InvalidTrigger(f"{self.name}: read is set: how these are read is known")
        object.__setattr__(self, "read", NoticeReader())
        # Whatever names a message, its events are known by their objects.
        object.__setattr__(self, "same_body", True)
        check_changes(self.name, self.changes, self.pattern)

    @cached_property
    def pattern(self) -> ObjectPattern | None:
        """Which objects it means; None: all."""
        return ObjectPattern.of(self.url) if self.url else None

    def passes_over(self, event: Event) -> str | None:
        """What did not become of an object that it listens for."""
        return unwanted(event, self.changes, self.pattern)


@dataclass(frozen=True)
class ObjectTopic(Trigger):
    """Hears of objects through a Kafka topic of notifications, as MinIO and bridges from queues write them.

    `url` and `changes` are as for `ObjectNotices`, `start` is as for `KafkaArrivals`.
    """

    kind: ClassVar[str] = "kafka-objects"
    host: ClassVar[str | None] = "triggers.objects.topics:ObjectTopicsListener"

    topic: str
    url: str = field(default="", kw_only=True)
    changes: Sequence[Change] = field(default=("created",), kw_only=True)
    start: Start = field(default="earliest", kw_only=True)

    def default_name(self) -> str:
        """Such as `kafka-objects:minio`."""
        return f"{self.kind}:{self.topic}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It reads its topic for objects."""
        return None if route.kind == OBJECT else f"it reads the topic {self.topic} for what it tells of objects"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_topic(self.topic, self.start, "ObjectTopic")
        check_changes(self.name, self.changes, self.pattern)

    @cached_property
    def pattern(self) -> ObjectPattern | None:
        """Which objects it means; None: all."""
        return ObjectPattern.of(self.url) if self.url else None

    def passes_over(self, event: Event) -> str | None:
        """What did not become of an object that it listens for."""
        return unwanted(event, self.changes, self.pattern)


def check_changes(name: str, changes: Sequence[str], pattern: ObjectPattern | None) -> None:
    """Refuse what a trigger cannot listen for. Raises `InvalidTrigger`."""
    known = get_args(Change)
    if isinstance(changes, str) or not changes or not set(changes) <= set(known):
        raise InvalidTrigger(f"{name}: changes={changes!r}: give some of {known}")
    if pattern is not None and pattern.folders:
        raise InvalidTrigger(f"{name}: notifications tell of single objects: leave out the / at the end of url")
