"""What goes to other machines without TLS is told, unless its host is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from service.checkup import transport
from service.checkup.finding import Verdict
from service.in_clear import in_clear
from service.settings import Artifacts, Client, Database, Kafka, Registry, SecurityProtocol, Settings
from tests.db.daemons import catalogue
from triggers.objects import Objects

SECURE = Database(url="postgresql://u:p@db.example.com/mill?sslmode=verify-full")


@dataclass
class Listens:
    """A trigger of some kind."""

    endpoint: str = ""
    service_url: str = ""


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
    triggers = [Listens("http://m.example.com"), Listens(service_url="pulsar://p:6650"), Listens("https://m"), object()]
    assert [told.split(" in clear")[0] for told in in_clear(Settings(), triggers)] == [
        "Listens(endpoint=) leads to m.example.com", "Listens(service_url=) leads to p",
    ]  # fmt: skip


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
