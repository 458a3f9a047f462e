"""A call: one attempt of one stage as plain data, so that one command can make it anywhere."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stages.artifacts import ArtifactRef
from stages.ending import RunEnd
from stages.errors import InvalidCall
from stages.problems import in_our_words
from triggers.event import Event

# The item of an attempt that is not one of a list.
WHOLE = -1


@dataclass(slots=True, kw_only=True)
class Call:
    """One attempt. `pipeline` is its name or `package.module:name`; `params` are the raw JSON parameters of the run.

    `item` is the place in the list that a mapped stage works through, `WHOLE` for a stage as a whole. `depth` is how
    many runs, one caused by the other, lie behind this one. `ending` is for stages that clean up. An input that is
    missing comes from a stage that was skipped. `events` are all that share the run, in the order in which they were
    accepted, where there are several; `event` is the newest of them. In `shadow` nothing outside may be changed.
    Nobody changes one; it is not frozen only because making a frozen one takes eight times as long.
    """

    pipeline: str
    stage: str
    run_id: int
    attempt: int
    idempotency_key: str
    event: Event
    params: Mapping[str, Any] | None = None
    inputs: Mapping[str, ArtifactRef] = field(default_factory=dict)
    timeout_s: float | None = None
    item: int = WHOLE
    depth: int = 0
    ending: RunEnd | None = None
    shadow: bool = False
    events: tuple[Event, ...] = ()

    @property
    def all_events(self) -> tuple[Event, ...]:
        """Every event of the run."""
        return self.events or (self.event,)

    def to_json(self) -> bytes:
        """The call as the file `stage run --call` reads. The event in it is a CloudEvent in JSON format."""
        shared = {"events": [event_to_plain(one) for one in self.events]} if self.events else {}
        return orjson.dumps(
            {
                **shared,
                "pipeline": self.pipeline,
                "stage": self.stage,
                "run_id": self.run_id,
                "attempt": self.attempt,
                "idempotency_key": self.idempotency_key,
                "event": event_to_plain(self.event),
                "params": self.params,
                "inputs": {name: ref_to_plain(ref) for name, ref in self.inputs.items()},
                "timeout_s": self.timeout_s,
                "item": self.item,
                "depth": self.depth,
                "ending": None if self.ending is None else asdict(self.ending),
                **({"shadow": True} if self.shadow else {}),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Call:
        """The call in a file. Raises `InvalidCall` naming the wrong fields."""
        try:
            wire = _Call.model_validate_json(data)
        except ValidationError as error:
            raise InvalidCall(f"not a stage call: {_told(error)}") from None
        inputs = {name: one.as_ref() for name, one in wire.inputs.items()}
        events = tuple(one.as_event() for one in wire.events)
        return cls(**{**dict(wire), "event": wire.event.as_event(), "events": events, "inputs": inputs})


def event_to_plain(event: Event) -> dict[str, Any]:
    """An event in the CloudEvents JSON format (1.0, section 3)."""
    plain: dict[str, Any] = {"specversion": "1.0", "source": event.source, "id": event.id, "type": event.type}
    plain["time"] = event.time.isoformat()
    for name in ("subject", "datacontenttype", "dataschema"):
        if (value := getattr(event, name)) is not None:
            plain[name] = value
    if isinstance(event.data, bytes):
        plain["data_base64"] = b64encode(event.data).decode()
    elif event.data is not None:
        plain["data"] = event.data
    return plain | dict(event.extensions)


def _decode64(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("must be text in base64")
    return b64decode(text, validate=True)


Strict64 = Annotated[bytes, BeforeValidator(_decode64)]


class _Ref(BaseModel):
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    codec: str
    size_bytes: int
    inline: Strict64 | None = None

    def as_ref(self) -> ArtifactRef:
        return ArtifactRef(self.digest, self.codec, self.size_bytes, self.inline)


class _Event(BaseModel):
    model_config = ConfigDict(extra="allow")

    specversion: str = "1.0"
    source: str
    id: str
    type: str
    time: AwareDatetime
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Any = None
    data_base64: Strict64 | None = None

    def as_event(self) -> Event:
        return Event(
            source=self.source,
            id=self.id,
            type=self.type,
            time=self.time,
            subject=self.subject,
            data=self.data_base64 if self.data_base64 is not None else self.data,
            datacontenttype=self.datacontenttype,
            dataschema=self.dataschema,
            extensions=self.model_extra or {},
        )


class _Call(BaseModel):
    model_config = ConfigDict(extra="forbid")

    pipeline: str
    stage: str
    run_id: int
    attempt: int
    idempotency_key: str
    event: _Event
    params: dict[str, Any] | None = None
    inputs: dict[str, _Ref] = {}
    timeout_s: float | None = None
    item: int = WHOLE
    depth: int = 0
    ending: RunEnd | None = None
    events: list[_Event] = []
    shadow: bool = False


def ref_to_plain(ref: ArtifactRef) -> dict[str, Any]:
    """An artifact's address as calls and results carry it."""
    inline = b64encode(ref.inline).decode() if ref.inline is not None else None
    return {"digest": ref.digest, "codec": ref.codec, "size_bytes": ref.size_bytes, "inline": inline}


def _told(error: ValidationError) -> str:
    wrong = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the whole'}: {in_our_words(one['msg'])}" for one in wrong)
