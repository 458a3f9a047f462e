"""TLS, mutual TLS and every SASL mechanism: with the right credentials it reads, with wrong ones it says which."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import http.server
import json
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from service.catalogue import Catalogue
from service.checkup import broker as checkup
from service.kafka_access import kafka_access
from service.settings import Broker, Kafka, SaslMechanism, SecurityProtocol, Settings
from tests.broker.seam import RecordingInbox, listener_of, listening, told
from tests.broker.secured import KEY_PASSWORD, PEM, Gate, gated_broker, opened, server_context
from tests.brokers import chosen
from triggers import KafkaArrivals
from triggers.base import KafkaAccess, ListenerState

PASSWORD = "p=,w ü"
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
CLIENT = {"ssl_certfile": PEM / "client.pem", "ssl_key_password": KEY_PASSWORD}
CA = {"ssl_cafile": PEM / "ca.pem"}


@pytest.fixture
async def gate(home: Path) -> AsyncIterator[Gate]:
    async with gated_broker(home) as gate:
        yield gate


def kafka_of(servers: str, **given: Any) -> Kafka:
    tls = any(name.startswith("ssl") for name in given)
    sasl = "sasl_mechanism" in given
    protocol = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
    return Kafka(bootstrap_servers=servers, security_protocol=SecurityProtocol(protocol), **given)


def access_of(kafka: Kafka) -> KafkaAccess:
    access = kafka_access(Settings(kafka=kafka))
    assert access is not None
    return dataclasses.replace(access, embedded=chosen() is Broker.TANSU, session_s=2.0, group_prefix=str(uuid.uuid4()))


def login(mechanism: str, password: str = PASSWORD) -> dict[str, Any]:
    return {"sasl_mechanism": SaslMechanism(mechanism), "sasl_username": "mill", "sasl_password": password}


async def one_record_arrives(kafka: Kafka) -> None:
    """Create a topic, write to it and hear of it, all through the door."""
    access, inbox = access_of(kafka), RecordingInbox()
    given = {"bootstrap_servers": access.bootstrap_servers, **access.options}
    admin = AIOKafkaAdminClient(**given)
    await admin.start()
    await admin.create_topics([NewTopic("t", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(**given)
    await producer.start()
    await producer.send_and_wait("t", b"1")
    await producer.stop()
    async with listening(listener_of([KafkaArrivals("t")], access, inbox)):
        await inbox.until_events(1)


async def refusal(kafka: Kafka) -> str:
    """What `doctor` says, which is what the trigger's status says."""
    listener = listener_of([KafkaArrivals("t")], access_of(kafka), RecordingInbox())
    async with listening(listener):
        note = await told(listener, ListenerState.RETRYING)
    [finding] = await checkup.check(Settings(kafka=kafka), Catalogue({}, {}))
    assert finding.says == note
    return note


async def test_tls_checks_the_broker(gate: Gate) -> None:
    gate.tls = server_context()
    async with opened(gate) as servers:
        await one_record_arrives(kafka_of(servers, **CA))
        assert "certificate that is not trusted" in await refusal(kafka_of(servers, ssl_cafile=PEM / "stranger.pem"))
        note = await refusal(Kafka(bootstrap_servers=servers))
        assert "closes the connection: does it speak PLAINTEXT at that port? Check kafka.security_protocol" in note


async def test_a_certificate_for_another_name_is_refused_unless_that_is_wanted(gate: Gate) -> None:
    gate.tls = server_context("other.pem")
    async with opened(gate) as servers:
        assert "certificate for another name" in await refusal(kafka_of(servers, **CA))
        await one_record_arrives(kafka_of(servers, **CA, ssl_check_hostname=False))


async def test_mutual_tls_shows_our_certificate(gate: Gate) -> None:
    gate.tls = server_context(wants_client=True)
    async with opened(gate) as servers:
        await one_record_arrives(kafka_of(servers, **CA, **CLIENT))
        assert "set kafka.ssl_certfile and kafka.ssl_keyfile" in await refusal(kafka_of(servers, **CA))
        stranger = {"ssl_certfile": PEM / "stranger.pem", "ssl_key_password": KEY_PASSWORD}
        assert "refuses our certificate" in await refusal(kafka_of(servers, **CA, **stranger))


async def test_tls_to_a_port_that_speaks_none(gate: Gate) -> None:
    async with opened(gate) as servers:
        note = await refusal(kafka_of(servers, **CA))
    # To what is no request of Kafka's, Tansu says nothing; Apache Kafka hangs up.
    silence = "does not answer in time: check TIDEMILL_KAFKA_BOOTSTRAP_SERVERS, firewalls"
    hung_up = "does not answer but closes the connection: does it speak SSL at that port?"
    assert (silence if chosen() is Broker.TANSU else hung_up) in note


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_password_lets_in_and_a_wrong_one_is_told(gate: Gate, mechanism: str) -> None:
    gate.tls, gate.mechanisms, gate.users = server_context(), (mechanism,), {"mill": PASSWORD}
    async with opened(gate) as servers:
        await one_record_arrives(kafka_of(servers, **CA, **login(mechanism)))
        assert set(gate.logins) == {"mill"}
        note = await refusal(kafka_of(servers, **CA, **login(mechanism, "wrong")))
        assert "refuses user 'mill' with this password (" in note
        assert "check kafka.sasl_username, kafka.sasl_password" in note
        assert "wrong" not in note


async def test_what_the_broker_does_not_offer_or_asks_for_is_told(gate: Gate) -> None:
    gate.mechanisms, gate.users = ("SCRAM-SHA-512",), {"mill": PASSWORD}
    async with opened(gate) as servers:
        assert "does not offer PLAIN: set kafka.sasl_mechanism" in await refusal(kafka_of(servers, **login("PLAIN")))
        note = await refusal(Kafka(bootstrap_servers=servers))
        assert "does it speak PLAINTEXT at that port? Check kafka.security_protocol" in note


async def test_an_outage_is_logged_once_and_not_at_each_try(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    gate.mechanisms, gate.users = ("PLAIN",), {"mill": PASSWORD}
    tries = 0

    class Counting(dict[str, str]):
        def get(self, *asked: Any) -> Any:
            nonlocal tries
            tries += 1
            return None

    gate.users = Counting()
    caplog.set_level(logging.INFO, "triggers")
    async with opened(gate) as servers:
        listener = listener_of([KafkaArrivals("t")], access_of(kafka_of(servers, **login("PLAIN"))), RecordingInbox())
        async with listening(listener), asyncio.timeout(30):
            while tries < 12:
                await asyncio.sleep(0.05)
    warned = [record for record in caplog.records if record.name.startswith("triggers")]
    assert len(warned) == 1
    assert "refuses user 'mill'" in warned[0].getMessage()


# Tokens.


def jwt(expires_s: float, number: int = 0) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"exp": int(expires_s), "n": number}).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def alive(token: str) -> bool:
    body = token.split(".")[1]
    return float(json.loads(base64.urlsafe_b64decode(body + "=="))["exp"]) > time.time()


class TokenServer:
    """An OAuth 2 endpoint that knows one client, on a real socket. `answer` is what it gives beside the token."""

    def __init__(self) -> None:
        self.asked: list[dict[str, list[str]]] = []
        self.answer: dict[str, Any] = {"expires_in": 300, "token_type": "Bearer"}
        self.lives_s = 300.0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                name = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
                status, answer = server.give(name, form)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *args: Any) -> None: ...

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/token"

    def give(self, name: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if name != "mill%2F1:s%3Acret" or form["grant_type"] != ["client_credentials"]:
            return 401, {"error": "invalid_client", "error_description": "no such client"}
        self.asked.append(form)
        return 200, {"access_token": jwt(time.time() + self.lives_s, len(self.asked)), **self.answer}


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    server = TokenServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


def from_endpoint(tokens: TokenServer, secret: str = "s:cret") -> dict[str, Any]:
    return {
        "sasl_mechanism": SaslMechanism.OAUTHBEARER,
        "sasl_token_url": tokens.url,
        "sasl_client_id": "mill/1",
        "sasl_client_secret": secret,
        "sasl_scope": "kafka",
    }


async def test_client_credentials_are_made_into_a_token_that_serves_until_it_is_old(
    gate: Gate, tokens: TokenServer
) -> None:
    gate.mechanisms, gate.token_ok = ("OAUTHBEARER",), alive
    async with opened(gate) as servers:
        kafka = kafka_of(servers, **from_endpoint(tokens))
        provider = access_of(kafka).options["sasl_oauth_token_provider"]
        await one_record_arrives(kafka)
        assert [form["scope"] for form in tokens.asked] == [["kafka"]]
        assert len(set(gate.logins)) == 1 < len(gate.logins)
        assert await provider.token() == await provider.token()
        tokens.answer["expires_in"] = 1e-9
        provider.forget()
        assert await provider.token() != await provider.token()


async def test_a_session_that_the_broker_ends_is_followed_by_one_with_a_new_token(
    gate: Gate, tokens: TokenServer
) -> None:
    gate.mechanisms, gate.token_ok, gate.session_s = ("OAUTHBEARER",), alive, 2.0
    tokens.lives_s, tokens.answer["expires_in"] = 2.0, 2
    async with opened(gate) as servers:
        kafka, inbox = kafka_of(servers, **from_endpoint(tokens)), RecordingInbox()
        await one_record_arrives(kafka)
        listener = listener_of([KafkaArrivals("t")], access_of(kafka), inbox)
        async with listening(listener):
            await inbox.until_events(1)
            before = len(set(gate.logins))
            async with asyncio.timeout(30):
                while len(set(gate.logins)) < before + 3:
                    assert "closes the connection" not in listener.statuses()[0].note
                    await asyncio.sleep(0.05)
            producer = AIOKafkaProducer(bootstrap_servers=servers, **access_of(kafka).options)
            await producer.start()
            await producer.send_and_wait("t", b"2")
            await producer.stop()
            await inbox.until_events(2)
    assert inbox.repeats == 0


async def test_a_token_that_does_not_say_how_long_it_lives_is_asked_for_at_each_connection(
    gate: Gate, tokens: TokenServer
) -> None:
    gate.mechanisms, gate.token_ok = ("OAUTHBEARER",), alive
    del tokens.answer["expires_in"]
    async with opened(gate) as servers:
        await one_record_arrives(kafka_of(servers, **from_endpoint(tokens)))
    assert len(set(gate.logins)) == len(gate.logins) == len(tokens.asked)


async def test_an_endpoint_that_gives_no_token_is_told(gate: Gate, tokens: TokenServer) -> None:
    gate.mechanisms = ("OAUTHBEARER",)
    async with opened(gate) as servers:
        note = await refusal(kafka_of(servers, **from_endpoint(tokens, "wrong")))
        assert "refuses a token (401: invalid_client: no such client): check kafka.sasl_client_id" in note
        tokens.answer = {"access_token": None}
        assert "answered without an access_token" in await refusal(kafka_of(servers, **from_endpoint(tokens)))
        away = from_endpoint(tokens) | {"sasl_token_url": "http://127.0.0.1:1/token"}
        assert "gives no token: " in await refusal(kafka_of(servers, **away))


async def test_a_token_that_is_refused_by_a_challenge_is_told(gate: Gate, tmp_path: Path) -> None:
    gate.mechanisms, gate.token_ok, gate.challenges = ("OAUTHBEARER",), alive, True
    file = tmp_path / "token"
    file.write_text(jwt(1_000_000_000))
    async with opened(gate) as servers:
        note = await refusal(kafka_of(servers, sasl_mechanism=SaslMechanism.OAUTHBEARER, sasl_token_file=file))
    assert f"refuses the token in {file}, which expired at 2001-09-09 01:46:40Z: have it renewed" in note


async def test_a_token_file_is_read_again_and_an_expired_token_is_told(gate: Gate, tmp_path: Path) -> None:
    gate.mechanisms, gate.token_ok = ("OAUTHBEARER",), alive
    file = tmp_path / "token"
    given = {"sasl_mechanism": SaslMechanism.OAUTHBEARER, "sasl_token_file": file}
    file.write_text(jwt(1_000_000_000))
    async with opened(gate) as servers:
        note = await refusal(kafka_of(servers, **given))
        assert f"refuses the token in {file}, which expired at 2001-09-09 01:46:40Z (invalid_token)" in note
        inbox = RecordingInbox()
        listener = listener_of([KafkaArrivals("t")], access_of(kafka_of(servers, **given)), inbox)
        async with listening(listener):
            await told(listener, ListenerState.RETRYING)
            await asyncio.to_thread(file.write_text, jwt(time.time() + 300))
            await one_record_arrives(kafka_of(servers, **given))
            await inbox.until_events(1)
        await asyncio.to_thread(file.write_text, "")
        assert f"the token file {file} is empty" in await refusal(kafka_of(servers, **given))
