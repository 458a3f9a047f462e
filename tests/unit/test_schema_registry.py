"""Values framed for a schema registry: a real registry over HTTP, real encoders, and bytes that are wrong."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.server
import io
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import ConfigError
from service.kafka_access import registry_access, registry_problems
from service.settings import Registry
from tests.broker.secured import KEY_PASSWORD, PEM, server_context
from triggers import faults
from triggers.base import RegistryAccess
from triggers.errors import InvalidEvent, InvalidTrigger, SourceUnavailable
from triggers.kafka.records import event_of
from triggers.schemas import registry as schema_registry
from triggers.schemas.avro import decoder as avro_decoder
from triggers.schemas.protobuf import _compiled, _named
from triggers.schemas.protobuf import decoder as protobuf_decoder
from triggers.schemas.registry import Schema, SchemaRegistry

FLIGHT = {
    "type": "record",
    "name": "Flight",
    "namespace": "x",
    "fields": [
        {"name": "carrier", "type": "string"},
        {"name": "delay", "type": ["null", "double"], "default": None},
        {"name": "seats", "type": {"type": "map", "values": "long"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "fare", "type": {"type": "bytes", "logicalType": "decimal", "precision": 30, "scale": 2}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "raw", "type": "bytes"},
        {"name": "plane", "type": "y.Plane"},
    ],
}
PLANE = {"type": "record", "name": "Plane", "namespace": "y", "fields": [{"name": "tail", "type": "string"}]}
PROTO = """
syntax = "proto3";
package flights.v1;
import "google/protobuf/timestamp.proto";
import "shared/plane.proto";
message Other { int32 n = 1; }
message Flight {
  message Leg { string dest = 1; int64 miles = 2; }
  string carrier = 1;
  google.protobuf.Timestamp at = 2;
  repeated Leg legs = 3;
  bytes raw = 4;
  shared.Plane plane_flown = 5;
  int32 delay = 6;
}
"""
PLANE_PROTO = 'syntax = "proto3"; package shared; message Plane { string tail = 1; }'


class Server:
    """A schema registry's REST API over real HTTP. `schemas` by id, `subjects` by name and version."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[tuple[str, int], dict[str, Any]] = {}
        self.asked: list[str] = []
        self.login: str | None = None
        self.broken: int | None = None
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                status, answer = server.answer(self.path, self.headers.get("authorization"))
                self.send_response(status)
                self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
                if status == 302:
                    self.send_header("location", "http://127.0.0.1:1/")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *args: Any) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, path: str, login: str | None) -> tuple[int, Any]:
        if self.broken:
            return self.broken, {"message": "no"}
        if login != self.login:
            return 401, {"error_code": 401, "message": "Unauthorized"}
        _, kind, *rest = path.split("/")
        if path == "/schemas/types":
            return 200, ["JSON", "PROTOBUF", "AVRO"]
        if kind == "schemas" and int(rest[1]) in self.schemas:
            return 200, self.schemas[int(rest[1])]
        if kind == "subjects" and (rest[0], int(rest[2])) in self.subjects:
            return 200, self.subjects[rest[0], int(rest[2])]
        return 404, {"error_code": 40403, "message": "not found"}


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.schemas[1] = {
        "schema": json.dumps(FLIGHT),
        "references": [{"name": "y.Plane", "subject": "planes", "version": 2}],
    }
    server.subjects["planes", 2] = {"schema": json.dumps(PLANE)}
    server.schemas[2] = {
        "schemaType": "PROTOBUF",
        "schema": PROTO,
        "references": [{"name": "shared/plane.proto", "subject": "plane", "version": 1}],
    }
    server.subjects["plane", 1] = {"schemaType": "PROTOBUF", "schema": PLANE_PROTO}
    server.schemas[3] = {"schemaType": "JSON", "schema": "{}"}
    server.schemas[4] = {"schema": "{"}
    server.schemas[5] = {"schemaType": "PROTOBUF", "schema": "message {"}
    server.schemas[6] = {"schemaType": "THRIFT", "schema": ""}
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def registry(server: Server) -> SchemaRegistry:
    return SchemaRegistry(RegistryAccess(server.url))


def framed(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + payload


def avro(value: dict[str, Any]) -> bytes:
    named: dict[str, Any] = {}
    fastavro.parse_schema(PLANE, named_schemas=named)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(FLIGHT, named_schemas=named), value)
    return out.getvalue()


AVRO_FLIGHT = {
    "carrier": "UA",
    "delay": 2.5,
    "seats": {"first": 1 << 60},
    "at": datetime(2013, 1, 1, 5, 15, 0, 250_000, tzinfo=UTC),
    "day": date(2013, 1, 1),
    "fare": Decimal("123456789012345678.90"),
    "id": UUID(int=7),
    "raw": b"\xff\0",
    "plane": {"tail": "N14228"},
}


async def read(registry: SchemaRegistry, value: bytes) -> Any:
    await registry.ready([value, None, b"x"])
    return registry.read(value).data


async def dead(registry: SchemaRegistry, value: bytes) -> str:
    with pytest.raises(InvalidEvent) as refused:
        await read(registry, value)
    return str(refused.value)


async def test_avro_becomes_json_by_its_schema_and_those_it_refers_to(registry: SchemaRegistry, server: Server) -> None:
    value = framed(1, avro(AVRO_FLIGHT))
    assert await read(registry, value) == {
        "carrier": "UA",
        "delay": 2.5,
        "seats": {"first": 1 << 60},
        "at": "2013-01-01T05:15:00.250000Z",
        "day": "2013-01-01",
        "fare": "123456789012345678.90",
        "id": str(UUID(int=7)),
        "raw": base64.b64encode(b"\xff\0").decode(),
        "plane": {"tail": "N14228"},
    }
    assert registry.read(value).schema == f"{server.url}/schemas/ids/1"
    for _ in range(3):
        await registry.ready([value])
    assert server.asked == ["/schemas/ids/1", "/subjects/planes/versions/2"]


def protobuf_classes() -> dict[str, Any]:
    schema = Schema("PROTOBUF", PROTO, {"shared/plane.proto": PLANE_PROTO})
    files = descriptor_pb2.FileDescriptorSet.FromString(_compiled(schema))
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    names = ("flights.v1.Flight", "flights.v1.Flight.Leg", "flights.v1.Other")
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in names}


async def test_protobuf_becomes_json_and_the_indexes_say_which_message(registry: SchemaRegistry) -> None:
    classes = protobuf_classes()
    flight = json_format.ParseDict(
        {"carrier": "UA", "at": "2013-01-01T05:15:00Z", "legs": [{"dest": "IAH", "miles": "1400"}], "raw": "/wA=",
         "planeFlown": {"tail": "N14228"}},
        classes["flights.v1.Flight"](),
    )  # fmt: skip
    data = {
        "carrier": "UA",
        "at": "2013-01-01T05:15:00Z",
        "legs": [{"dest": "IAH", "miles": "1400"}],
        "raw": "/wA=",
        "plane_flown": {"tail": "N14228"},
        "delay": 0,
    }
    # Zigzag: [1] is 2 2, [1, 0] is 4 2 0, [0] is a lone 0 or 2 0.
    assert await read(registry, framed(2, b"\x02\x02" + flight.SerializeToString())) == data
    leg = classes["flights.v1.Flight.Leg"](dest="EWR")
    nested = framed(2, b"\x04\x02\x00" + leg.SerializeToString())
    assert await read(registry, nested) == {"dest": "EWR", "miles": "0"}
    other = classes["flights.v1.Other"](n=-3).SerializeToString()
    assert await read(registry, framed(2, b"\0" + other)) == {"n": -3}
    assert await read(registry, framed(2, b"\x02\0" + other)) == {"n": -3}


@pytest.mark.parametrize("point", ["protoc.start", "protoc.started"])
async def test_a_schema_that_this_machine_cannot_compile_now_makes_kafka_wait(
    registry: SchemaRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    value = framed(2, b"\0" + protobuf_classes()["flights.v1.Other"](n=1).SerializeToString())
    faults.arm(f"{point}=full@1")
    try:
        with pytest.raises(SourceUnavailable, match=r"schema 2 cannot be compiled here: .*No space left"):
            await read(registry, value)
        assert await read(registry, value) == {"n": 1}
    finally:
        faults.arm(os.environ.get("TIDEMILL_FAULTS", ""))
    assert not list(tmp_path.iterdir())


async def test_json_is_read_without_its_frame(registry: SchemaRegistry) -> None:
    assert await read(registry, framed(3, b'{"n": 1}')) == {"n": 1}
    assert (await dead(registry, framed(3, b"{"))).startswith("not JSON: ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "not framed for a schema registry"),
        (b"\0\0\0\0", "not framed for a schema registry"),
        (b'{"n": 1}', "not framed for a schema registry"),
        (framed(9, b""), "schema 9: the schema registry does not know it"),
        (framed(4, b""), "schema 4: not an Avro schema that can be used"),
        (framed(5, b""), "schema 5: protoc does not compile it: line 1:9"),
        (framed(6, b""), "schema 6: it is of the unknown kind 'THRIFT'"),
        (framed(1, b""), "not Avro of its schema: it needs more than the 0 bytes there are"),
        (framed(1, avro(AVRO_FLIGHT) + b"\0"), "not Avro of its schema: 1 bytes are left over"),
        (framed(1, avro(AVRO_FLIGHT)[:-3]), "not Avro of its schema: it needs more than the"),
        (framed(1, b"\x04\xff\xff" + avro(AVRO_FLIGHT)[3:]), "not Avro of its schema: text in it is not UTF-8"),
        (framed(2, b""), "its message indexes do not end"),
        (framed(2, b"\x02\x10"), "its schema has no message [8]"),
        (framed(2, b"\x02\x01"), "its schema has no message [-1]"),
        (framed(2, b"\xfe\xff\xff\xff\x0f"), "its message indexes make no sense"),
        (framed(2, b"\0\x0a\xff"), "not protobuf of its schema"),
    ],
)
async def test_what_cannot_be_decoded_is_dead_and_says_why(
    registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch, value: bytes, words: str
) -> None:
    monkeypatch.setattr(schema_registry, "_SECOND_LOOK_S", 0.0)
    assert words in await dead(registry, value)


async def test_an_unknown_schema_is_asked_for_again_in_a_while(
    registry: SchemaRegistry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_registry, "_SECOND_LOOK_S", 0.0)
    value = framed(9, b"1")
    for _ in range(3):
        await dead(registry, value)
    assert server.asked == ["/schemas/ids/9"] * 2
    monkeypatch.setattr(schema_registry, "_ASK_AGAIN_S", -1.0)
    registry._known.clear()
    await dead(registry, value)
    server.schemas[9] = {"schemaType": "JSON", "schema": "{}"}
    assert await read(registry, value) == 1


async def test_what_names_no_schema_is_not_remembered_for_ever(
    registry: SchemaRegistry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_registry, "_SECOND_LOOK_S", 0.0)
    monkeypatch.setattr(schema_registry, "_MOST_UNUSABLE", 10)
    good = framed(3, b"1")
    assert await read(registry, good) == 1
    for number in range(100, 120):
        await dead(registry, framed(number, b""))
    assert len(registry._known) == 21
    monkeypatch.setattr(schema_registry, "_ASK_AGAIN_S", -100.0)
    asked = len(server.asked)
    assert await read(registry, good) == 1
    assert len(registry._known) == 1
    assert len(server.asked) == asked


async def test_one_registered_a_moment_ago_is_looked_for_twice(
    registry: SchemaRegistry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_registry, "_SECOND_LOOK_S", 0.05)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(registry, framed(9, b"1")))
        while not server.asked:
            await asyncio.sleep(0.001)
        server.schemas[9] = {"schemaType": "JSON", "schema": "{}"}
    assert reading.result() == 1


@pytest.mark.parametrize(
    ("broken", "words"),
    [(500, "answers 500"), (503, "answers 503"), (403, "refuses us (403): check registry.username"),
     (302, "answers 302 to the questions of a registry: check registry.url"),
     (404, "answers 404 to the questions of a registry: check registry.url")],
)  # fmt: skip
async def test_a_registry_that_is_out_of_order_kills_no_record(
    registry: SchemaRegistry, server: Server, broken: int, words: str
) -> None:
    server.broken = broken
    with pytest.raises(SourceUnavailable) as away:
        await registry.ready([framed(1, b"")])
    assert words in str(away.value)
    server.broken = None
    assert (await read(registry, framed(1, avro(AVRO_FLIGHT))))["carrier"] == "UA"


async def test_a_registry_that_is_away_is_told_by_its_address() -> None:
    registry = SchemaRegistry(RegistryAccess("http://127.0.0.1:1"))
    with pytest.raises(SourceUnavailable, match=r"schema registry http://127.0.0.1:1 does not answer: .*Kafka waits"):
        await registry.check()


async def test_references_in_a_circle_are_dead_and_not_for_ever(registry: SchemaRegistry, server: Server) -> None:
    server.schemas[7] = {"schema": '"int"', "references": [{"name": "a", "subject": "a", "version": 1}]}
    server.subjects["a", 1] = {"schema": '"int"', "references": [{"name": "a", "subject": "a", "version": 1}]}
    assert "go in a circle by way of 'a'" in await dead(registry, framed(7, b""))


async def test_a_reference_writes_no_file_outside(registry: SchemaRegistry, server: Server) -> None:
    server.schemas[7] = {**server.schemas[2], "references": [{"name": "../x.proto", "subject": "plane", "version": 1}]}
    assert "is no name of a file to import" in await dead(registry, framed(7, b"\0"))


@pytest.mark.parametrize(
    "names", [["x" * 300], ["a\0b"], ["a", "a/b.proto"], ["."]], ids=["long", "nul", "in a file", "."]
)
async def test_a_reference_whose_name_no_file_can_have_is_dead(
    registry: SchemaRegistry, server: Server, names: list[str]
) -> None:
    """What writes it down would end, with all that reads Kafka, again and again."""
    server.schemas[7] = {
        **server.schemas[2],
        "references": [{"name": name, "subject": "plane", "version": 1} for name in names],
    }
    assert "cannot be the name of a file" in await dead(registry, framed(7, b"\0"))


async def test_a_record_carries_the_url_of_its_schema(registry: SchemaRegistry, server: Server) -> None:
    from tests.unit.test_kafka_triggers import NOW, record

    await registry.ready([framed(3, b"1")])
    event, why = event_of(record(framed(3, b'{"n": 1}')), "kafka:c/t", NOW, registry.read)
    assert (event.data, event.dataschema, why) == ({"n": 1}, f"{server.url}/schemas/ids/3", "")
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")]
    event, why = event_of(record(framed(3, b"[2]"), headers=headers), "kafka:c/t", NOW, registry.read)
    assert (event.id, event.data, why) == ("1", [2], "")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_no_payload_does_worse_than_being_dead(payload: bytes) -> None:
    with contextlib.suppress(InvalidEvent):
        AVRO(payload)


AVRO = avro_decoder(Schema("AVRO", json.dumps(FLIGHT), {"y.Plane": json.dumps(PLANE)}))


WIDE_PROTO = """syntax = "proto3";
message Wide { repeated Wide more = 1; map<string, Wide> by = 2; repeated int32 numbers = 3; Wide one = 4; MORE }
""".replace("MORE", " ".join(f"int32 f{number} = {number};" for number in range(5, 105)))


def test_a_message_of_a_few_bytes_each_that_would_be_a_million_values_is_dead() -> None:
    wide = protobuf_decoder(Schema("PROTOBUF", WIDE_PROTO))
    assert len(wide(b"\0" + b"\x0a\0" * 2_000)["more"]) == 2_000
    assert len(wide(b"\0" + b"\x1a\x8c\x01" + b"\x01" * 140)["numbers"]) == 140
    for payload in (b"\x0a\0" * 20_000, b"".join(b"\x12\x07\x0a\x05%05d" % at for at in range(20_000))):
        with pytest.raises(InvalidEvent, match="more than 1000000 values"):
            wide(b"\0" + payload)
    with pytest.raises(InvalidEvent, match="not protobuf of its schema"):
        wide(b"\0" + nested(200))


def nested(levels: int) -> bytes:
    """A Wide in a Wide in a Wide."""
    payload = b""
    for _ in range(levels):
        size, length = len(payload), bytearray()
        while size > 0x7F:
            length.append(size & 0x7F | 0x80)
            size >>= 7
        payload = b"\x22" + bytes([*length, size]) + payload
    return payload


def test_messages_are_named_by_their_place() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(_compiled(Schema("PROTOBUF", PLANE_PROTO)))
    assert _named(files.file[-1], [0]) == "shared.Plane"


# Settings.


@pytest.mark.parametrize(
    ("given_settings", "login"),
    [
        ({"username": "key", "password": "se:cret"}, "Basic " + base64.b64encode(b"key:se:cret").decode()),
        ({"token": "abc"}, "Bearer abc"),
    ],
)
async def test_the_registry_is_told_who_we_are(server: Server, given_settings: dict[str, str], login: str) -> None:
    server.login = login
    access = registry_access(Registry(url=server.url, **given_settings))
    assert access is not None
    await SchemaRegistry(access).check()
    assert "cret" not in repr(access)
    with pytest.raises(SourceUnavailable, match=r"refuses us \(401\)"):
        await SchemaRegistry(RegistryAccess(server.url)).check()


async def test_tls_is_checked_and_our_certificate_shown(server: Server) -> None:
    server.http.socket = server_context(wants_client=True).wrap_socket(server.http.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    ours = {"ssl_certfile": PEM / "client.pem", "ssl_key_password": KEY_PASSWORD}
    good = registry_access(Registry(url=url, ssl_cafile=PEM / "ca.pem", **ours))
    assert good is not None
    await SchemaRegistry(good).check()
    for wrong in (Registry(url=url, ssl_cafile=PEM / "ca.pem"), Registry(url=url, **ours)):
        access = registry_access(wrong)
        assert access is not None
        with pytest.raises(SourceUnavailable, match="does not answer"):
            await SchemaRegistry(access).check()
    with pytest.raises(ConfigError, match=r"registry.ssl_cafile \(TIDEMILL_REGISTRY_SSL_CAFILE\)"):
        registry_access(Registry(url=url, ssl_cafile=PEM / "missing.pem"))


def test_settings_that_do_not_go_together_are_told() -> None:
    assert registry_problems(Registry()) == registry_problems(Registry(url="http://a", token="t")) == []
    assert registry_problems(Registry(token="t")) == ["registry.token is set, but no registry: set registry.url too"]
    assert len(registry_problems(Registry(url="http://a", token="t", username="u"))) == 1
    assert len(registry_problems(Registry(url="http://a", password="p"))) == 1
    assert len(registry_problems(Registry(url="http://u:p@a"))) == 1


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_registry, "_NEEDED", ("fastavro", "nowhere.at_all"))
    with pytest.raises(InvalidTrigger, match=r"p/t: nowhere.at_all is not installed: pip install 'tide"):
        schema_registry.check_packages("p/t")
