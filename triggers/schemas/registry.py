"""Values framed for a schema registry: a zero byte, the schema's id, and what the schema says how to read.

Speaks the REST API that Confluent's registry has and Karapace, Redpanda and Apicurio share. Schemas are immutable, so
each is asked for once. A registry that is away, or refuses us, makes Kafka wait; a schema it does not know, or that
cannot be used, makes the record dead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

import orjson

from triggers.base import RegistryAccess
from triggers.errors import InvalidEvent, InvalidTrigger, SourceUnavailable
from triggers.http_request import ask
from triggers.kafka.values import Value

Decode = Callable[[bytes], Any]

_NEEDED = ("fastavro", "google.protobuf", "grpc_tools")
_HOMES = {
    "AVRO": "triggers.schemas.avro",
    "PROTOBUF": "triggers.schemas.protobuf",
    "JSON": "triggers.schemas.json_schema",
}
_FRAME_BYTES = 5
_SCHEMA_UNKNOWN = 40403
_ASK_AGAIN_S = 30.0
_SECOND_LOOK_S = 1.0
# What begins with a zero byte names a schema by its next four, whatever it is: so many that name none are remembered.
_MOST_UNUSABLE = 1_000


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema as registered. `references` are those it needs, by the name it imports them by, each after its own."""

    kind: str
    text: str
    references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Unusable:
    """Why records of this schema are dead, and until when that is believed."""

    reason: str
    until_s: float


def check_packages(what: str) -> None:
    """Raises `InvalidTrigger` where what decodes schemas is not installed."""
    missing = [name for name in _NEEDED if not _is_there(name)]
    if missing:
        raise InvalidTrigger(f"{what}: {', '.join(missing)} is not installed: pip install 'tidemill[schemas]'")


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


class SchemaRegistry:
    """Reads values by their registered schemas: `ready` fetches what `read` then needs."""

    def __init__(self, access: RegistryAccess) -> None:
        self._access = access
        self._known: dict[int, Decode | _Unusable] = {}

    async def ready(self, values: Iterable[bytes | None]) -> None:
        """Have the schema of each value at hand. Raises `SourceUnavailable` while the registry does not tell it."""
        self._forget()
        wanted = {number for value in values if (number := schema_id(value)) is not None}
        for number in sorted(wanted):
            known = self._known.get(number)
            if known is None or (isinstance(known, _Unusable) and time.monotonic() > known.until_s):
                self._known[number] = await self._learn(number)

    def _forget(self) -> None:
        """Drop what would be asked for again anyway, once there is much: not yet what somebody may be about to read."""
        long_ago_s = time.monotonic() - _ASK_AGAIN_S
        unusable = [(number, one) for number, one in self._known.items() if isinstance(one, _Unusable)]
        if len(unusable) > _MOST_UNUSABLE:
            for number, _ in filter(lambda known: known[1].until_s < long_ago_s, unusable):
                del self._known[number]

    def read(self, value: bytes) -> Value:
        """What a framed value holds. Raises `InvalidEvent`."""
        number = schema_id(value)
        if number is None:
            raise InvalidEvent("not framed for a schema registry: it does not begin with a zero byte and a schema's id")
        known = self._known.get(number)
        if known is None or isinstance(known, _Unusable):
            raise InvalidEvent(known.reason if known else f"schema {number} was not fetched")
        return Value(known(value[_FRAME_BYTES:]), "application/json", f"{self._access.url}/schemas/ids/{number}")

    async def check(self) -> None:
        """Raises `SourceUnavailable` unless the registry answers us."""
        await self._get("/schemas/types")

    async def _learn(self, number: int) -> Decode | _Unusable:
        try:
            schema = await self._schema(f"/schemas/ids/{number}")
            if schema is None:
                # One that was registered a moment ago may not be on every node yet.
                await asyncio.sleep(_SECOND_LOOK_S)
                schema = await self._schema(f"/schemas/ids/{number}")
            if schema is None:
                raise InvalidEvent("the schema registry does not know it")
            if schema.kind not in _HOMES:
                raise InvalidEvent(f"it is of the unknown kind {schema.kind!r}")
            decode: Decode = await asyncio.to_thread(import_module(_HOMES[schema.kind]).decoder, schema)
        except InvalidEvent as error:
            return _Unusable(f"schema {number}: {error}", time.monotonic() + _ASK_AGAIN_S)
        except OSError as error:
            raise SourceUnavailable(f"schema {number} cannot be compiled here: {error}: Kafka waits") from error
        return decode

    async def _schema(self, path: str) -> Schema | None:
        found = await self._get(path)
        if found is None:
            return None
        references: dict[str, str] = {}
        await self._gather(found.get("references") or (), references, ())
        return Schema(str(found.get("schemaType") or "AVRO").upper(), str(found["schema"]), references)

    async def _gather(self, wanted: Sequence[Any], into: dict[str, str], above: tuple[str, ...]) -> None:
        """Those a reference needs first, then itself."""
        for one in wanted:
            name = str(one["name"])
            if name in above:
                raise InvalidEvent(f"its references go in a circle by way of {name!r}")
            if name in into:
                continue
            found = await self._get(f"/subjects/{quote(str(one['subject']), safe='')}/versions/{int(one['version'])}")
            if found is None:
                raise InvalidEvent(f"the schema registry has no {one['subject']} version {one['version']}")
            await self._gather(found.get("references") or (), into, (*above, name))
            into[name] = str(found["schema"])

    async def _get(self, path: str) -> Any:
        """The JSON at `path`, None for what the registry says it does not know."""
        url = self._access.url
        try:
            status, body = await asyncio.to_thread(ask, url + path, self._access.headers, tls=self._access.tls)
        except OSError as error:
            raise SourceUnavailable(f"schema registry {url} does not answer: {error}: Kafka waits") from None
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if status == 200 and answer is not None:
            return answer
        code = answer.get("error_code") if isinstance(answer, dict) else None
        if status == 404 and isinstance(code, int) and (code == _SCHEMA_UNKNOWN or 40400 < code < 40500):
            return None
        raise SourceUnavailable(f"schema registry {url} {_refusal(status)}: Kafka waits")


def schema_id(value: bytes | None) -> int | None:
    """The id in the frame of a value, if it has a frame."""
    if value is None or len(value) < _FRAME_BYTES or value[0] != 0:
        return None
    return int.from_bytes(value[1:_FRAME_BYTES], "big")


def _refusal(status: int) -> str:
    if status in (401, 403):
        return f"refuses us ({status}): check registry.username and registry.password, or registry.token"
    if status == 404 or 300 <= status < 400 or status == 200:
        return f"answers {status} to the questions of a registry: check registry.url"
    return f"answers {status}"
