"""What goes to other machines without TLS is told, unless its host is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from obstore import head
from obstore.exceptions import BaseError
from obstore.store import from_url

from service.checkup import transport
from service.checkup.finding import Verdict
from service.in_clear import in_clear
from service.settings import Artifacts, Client, Database, Kafka, Registry, SecurityProtocol, Settings
from tests.db.daemons import catalogue
from triggers.continuous.kinesis import KinesisBatches
from triggers.continuous.pulsar import PulsarBatches
from triggers.objects import Objects

SECURE = Database(url="postgresql://u:p@db.example.com/mill?sslmode=verify-full")


@pytest.mark.parametrize(
    ("set_to", "says"),
    [
        ({"database": Database(url="postgresql://u:p@db.example.com:5432/mill")}, "Postgres at db.example.com"),
        ({"database": Database(url="postgresql://u@db.example.com/mill?sslmode=disable")}, "sslmode=verify-full"),
        ({"database": Database(url="postgresql:///mill?host=db.example.com")}, "Postgres at db.example.com"),
        ({"database": Database(url="postgresql://u@localhost,db.example.com/mill")}, "Postgres at db.example.com"),
        ({"kafka": Kafka(bootstrap_servers="127.0.0.1:9092,k.example.com:9092")}, "Kafka at k.example.com"),
        (
            {"kafka": Kafka(bootstrap_servers="k:1", security_protocol=SecurityProtocol.SASL_PLAINTEXT)},
            "kafka.security_protocol to SASL_SSL",
        ),
        (
            {"kafka": Kafka(sasl_token_url="http://id.example.com/token")},
            "kafka.sasl_token_url leads to id.example.com",
        ),
        ({"registry": Registry(url="http://schemas.example.com")}, "registry.url leads to schemas.example.com"),
        ({"client": Client(url="http://mill.example.com")}, "client.url leads to mill.example.com"),
    ],
)
def test_an_address_that_is_spoken_to_in_clear_is_told(set_to: dict[str, Any], says: str) -> None:
    [told] = in_clear(Settings(**set_to), [])
    assert says in told
    hosts = ("*.example.com", "k")
    assert in_clear(replace(Settings(**set_to), plain_hosts=hosts), []) == []


@pytest.mark.parametrize(
    "set_to",
    [
        {},
        {"database": SECURE},
        {"database": Database(url="postgresql://u@/mill?host=/run/postgresql")},
        {"database": Database(url="postgresql://u@127.0.0.1:5432/mill")},
        {"database": Database(url="postgresql://u@[::1]:5432/mill")},
        {"kafka": Kafka(bootstrap_servers="k:9093", security_protocol=SecurityProtocol.SSL)},
        {"kafka": Kafka(bootstrap_servers="localhost:9092")},
        {"registry": Registry(url="https://schemas.example.com")},
    ],
)
def test_what_stays_here_or_goes_by_tls_is_not(set_to: dict[str, Any]) -> None:
    assert in_clear(Settings(**set_to), []) == []


def test_stores_and_triggers_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example.com:9000")
    assert in_clear(Settings(artifacts=Artifacts(url="file:///a")), []) == []
    [told] = in_clear(Settings(artifacts=Artifacts(url="s3://bucket")), [])
    assert "AWS_ENDPOINT_URL leads to minio.example.com" in told


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        (KinesisBatches("clicks", endpoint="http://k.example.com"), "KinesisBatches(endpoint=) leads to k.example.com"),
        (PulsarBatches("clicks", service="pulsar://p.example.com:6650"), "PulsarBatches(service=) leads to p.example."),
        (Objects("s3://bucket/*.csv", endpoint="http://m.example.com"), "Objects(endpoint=) leads to m.example.com"),
        (
            Objects("s3://bucket/*.csv", options={"aws_endpoint": "http://m.example.com"}),
            "Objects(options=) leads to m.example.com",
        ),
    ],
)
def test_the_address_of_a_trigger_is_looked_at(trigger: Any, says: str) -> None:
    [told] = in_clear(Settings(), [trigger])
    assert says in told
    assert in_clear(Settings(plain_hosts=("*.example.com",)), [trigger]) == []


def test_an_address_with_tls_is_not_told() -> None:
    secure = [
        KinesisBatches("clicks", endpoint="https://k.example.com"),
        PulsarBatches("clicks", service="pulsar+ssl://p.example.com:6651"),
        Objects("s3://bucket/*.csv", endpoint="https://m.example.com", options={"access_key_id": "env:ID"}),
    ]
    assert in_clear(Settings(), [*secure, object()]) == []


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("AWS_ENDPOINT_URL_S3", "s3://bucket"),
        ("AZURE_STORAGE_ENDPOINT", "az://container"),
        ("AZURE_ENDPOINT", "az://container"),
        ("GOOGLE_BASE_URL", "gs://bucket"),
    ],
)
def test_the_variables_that_the_stores_read_are_those_that_are_looked_at(
    name: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the client says it asked: it refuses an address in clear unless it is allowed."""
    given = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY")
    for one in (*given, "GOOGLE_SKIP_SIGNATURE"):
        monkeypatch.setenv(one, "true")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv(name, "http://store.example.com")
    with pytest.raises(BaseError, match=r"store\.example\.com"):
        head(from_url(url, retry_config={"max_retries": 0}), "object")
    [told] = in_clear(Settings(artifacts=Artifacts(url=url)), [])
    assert f"{name} leads to store.example.com" in told


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"])
def test_a_stream_is_where_the_environment_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://k.example.com")
    [told] = in_clear(Settings(), [KinesisBatches("clicks")])
    assert f"{name} leads to k.example.com" in told
    assert in_clear(Settings(), [KinesisBatches("clicks", endpoint="https://k.example.com")]) == []


def test_a_server_that_only_the_environment_names_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.com")
    [told] = in_clear(Settings(database=Database(url="postgresql:///mill")), [])
    assert "Postgres at db.example.com" in told
    assert in_clear(Settings(), []) == []
    assert in_clear(Settings(database=SECURE), []) == []


def test_the_store_of_a_trigger_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.example.com:9000")
    here = Settings(artifacts=Artifacts(url="file:///a"))
    [told] = in_clear(here, [Objects("s3://bucket/landing/*.csv")])
    assert "AWS_ENDPOINT_URL leads to minio.example.com" in told
    assert in_clear(here, [Objects("s3://bucket/landing/*.csv", endpoint="https://m.example.com")]) == []
    assert in_clear(here, [Objects("file:///landing/*.csv")]) == []


def test_the_doctor_warns_of_it() -> None:
    [found] = transport.check(Settings(registry=Registry(url="http://schemas.example.com")), catalogue([]))
    assert found.verdict is Verdict.WARNING
    [found] = transport.check(Settings(), catalogue([]))
    assert found.verdict is Verdict.OK
