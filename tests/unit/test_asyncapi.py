"""The Kafka side is described as AsyncAPI 3.0.0 has it: each rule below is a sentence of its specification."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from service.api.asyncapi import CLOUDEVENT, document
from triggers.base import Binding
from triggers.kafka import KafkaArrivals, KafkaBatches
from triggers.stream import StreamFeatures

KEY = re.compile(r"^[A-Za-z0-9._-]+$")
BINDINGS = [
    Binding("flights", KafkaArrivals("data.arrivals", dead_letter="data.dead")),
    Binding("trips", KafkaArrivals("data.arrivals", value="text", dead_letter="data.dead")),
    Binding("trips", KafkaBatches("data_arrivals")),
    Binding("taxis", StreamFeatures("rides", key="driver")),
]


@pytest.fixture
def made() -> dict[str, Any]:
    return document(BINDINGS, servers="a:9092, b:9093", secured=True, lifecycle="runs")


def resolved(made: dict[str, Any], reference: dict[str, str]) -> Any:
    found: Any = made
    for key in reference["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return found


def references(value: Any) -> list[dict[str, str]]:
    if isinstance(value, dict):
        own = [value] if "$ref" in value else []
        return own + [one for each in value.values() for one in references(each)]
    return [one for each in value for one in references(each)] if isinstance(value, list) else []


def test_what_is_required_is_there(made: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.0\.\d+", made["asyncapi"])
    assert {"title", "version"} <= set(made["info"])
    assert set(made) <= {
        *("asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components")
    }
    assert {one["protocol"] for one in made["servers"].values()} == {"kafka-secure"}
    assert [one["host"] for one in made["servers"].values()] == ["a:9092", "b:9093"]


def test_every_reference_leads_somewhere_and_every_key_can_be_referred_to(made: dict[str, Any]) -> None:
    assert len(references(made)) > 10
    assert all(resolved(made, one) for one in references(made))
    for keyed in ("channels", "operations", "servers"):
        assert all(KEY.fullmatch(key) for key in made[keyed])


def test_operations_send_or_receive_on_one_channel_and_their_messages_are_that_channels(made: dict[str, Any]) -> None:
    assert len(made["operations"]) == 6
    for one in made["operations"].values():
        assert one["action"] in ("send", "receive")
        assert one["channel"]["$ref"].startswith("#/channels/")
        for message in one.get("messages", ()):
            assert message["$ref"].startswith(one["channel"]["$ref"] + "/messages/")


def test_topics_are_those_of_the_triggers_each_once(made: dict[str, Any]) -> None:
    assert sorted(one["address"] for one in made["channels"].values()) == [
        *("data.arrivals", "data.dead", "data_arrivals", "rides", "runs")
    ]
    arrivals = next(one for one in made["channels"].values() if one["address"] == "data.arrivals")
    assert set(arrivals["messages"]) == {"CloudEvent", "Record_json", "Record_text"}


def test_schemas_are_schemas_and_take_what_we_send(made: dict[str, Any]) -> None:
    for message in made["components"]["messages"].values():
        for part in ("payload", "headers"):
            jsonschema.Draft7Validator.check_schema(message.get(part, {}))
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    jsonschema.Draft7Validator(CLOUDEVENT).validate(event)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(CLOUDEVENT).validate(event | {"specversion": "0.3"})


def test_a_daemon_without_kafka_has_nothing_to_tell() -> None:
    made = document([], servers=None, secured=False, lifecycle=None)
    assert (made["channels"], made["operations"], made["servers"]) == ({}, {}, {})
