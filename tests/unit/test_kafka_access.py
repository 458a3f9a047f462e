from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from service.errors import ConfigError
from service.kafka_access import kafka_access, kafka_problems
from service.settings import Kafka, SaslMechanism, SecurityProtocol, Settings
from service.values import Pair
from triggers.kafka.trouble import why

PASSWORD = "only-for-tests"
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIUMTzTixGTJsNMaRuLb3nmySF0D9UwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNdGlkZW1pbGwudGVzdDAgFw0yNjExMjIyMzUzNTZaGA8yMTI2
MTAyOTIzNTM1NlowGDEWMBQGA1UEAwwNdGlkZW1pbGwudGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABGZ+bs+9MllJ3rhwZpHTYSAntZBVBC0W7NXErKZgEEfH
Ea8wd26sTEzgP8B/SSMmeVunH0dqKwQ6usDlyua8hsSjUzBRMB0GA1UdDgQWBBT7
pfk2WZjX8B4Xp8GZCAbMOfnHZDAfBgNVHSMEGDAWgBT7pfk2WZjX8B4Xp8GZCAbM
OfnHZDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIBbfOz0getYO
p4fBL2lDvGaxejGP/4xeEuOQPWDu8okqAiEAySwwhWa4THcgNz2OZJ9pTUCK8DJs
yAhGYROECWMxZf4=
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgFy0BP/9yN0QICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEGB98z2lYdl6+H7wmnzFKvYEgZB8
or7jhtP598n/AZIAZ8Ge5cKycYt8vJG9qoWAqeXMWQGkkpCKmRqFtZBCGKp0qIEL
UjoHiP/XVycS/QKek6Vv4OcAeAGtrWujC/mNt0RrPhKVGVbSvCTKNA5JR1eIL7hH
1VFETrm8NZWORFyQ5FbFCtMJmW78SsoVHqqW+8K6TEUdyIv97AadcMqpzkKSgTY=
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """A folder with a certificate of our own, its encrypted key, and a file that is neither."""
    (tmp_path / "cert.pem").write_text(CERTIFICATE)
    (tmp_path / "key.pem").write_text(KEY)
    (tmp_path / "garbage.pem").write_text("garbage")
    return tmp_path


def options(**kafka: Any) -> dict[str, Any]:
    access = kafka_access(Settings(kafka=Kafka(bootstrap_servers="a:9092", **kafka)))
    assert access is not None
    return dict(access.options)


def tls(**kafka: Any) -> Kafka:
    return Kafka(bootstrap_servers="a:9092", security_protocol=SecurityProtocol.SSL, **kafka)


def test_no_broker_is_no_access() -> None:
    assert kafka_access(Settings()) is None


def test_the_names_of_groups_and_whether_topics_are_made_are_handed_on() -> None:
    access = kafka_access(Settings(kafka=Kafka(bootstrap_servers="a:1,b:2", group_prefix="mine", create_topics=True)))
    assert access is not None
    assert (access.bootstrap_servers, access.group_prefix, access.create_topics) == ("a:1,b:2", "mine", True)
    assert access.options == {}


def test_scram_over_tls_is_told_to_the_client_in_its_own_words() -> None:
    given = options(
        security_protocol=SecurityProtocol.SASL_SSL,
        sasl_mechanism=SaslMechanism.SCRAM_SHA_512,
        sasl_username="me",
        sasl_password="secret",
    )
    context = given.pop("ssl_context")
    assert given == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "secret",
    }
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


async def test_the_options_are_those_of_the_client() -> None:
    from aiokafka.client import AIOKafkaClient

    given = options(
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_mechanism=SaslMechanism.PLAIN,
        sasl_username="me",
        sasl_password="secret",
    )
    AIOKafkaClient(bootstrap_servers="127.0.0.1:1", **given)


async def test_a_token_is_read_anew_at_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    given = options(
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_mechanism=SaslMechanism.OAUTHBEARER,
        sasl_token_file=file,
    )
    provider = given["sasl_oauth_token_provider"]
    assert await provider.token() == "first"
    file.write_text("second")
    assert await provider.token() == "second"
    assert "sasl_plain_username" not in given


def test_only_the_named_authority_is_trusted(pem: Path) -> None:
    context = options(security_protocol=SecurityProtocol.SSL, ssl_cafile=pem / "cert.pem")["ssl_context"]
    assert len(context.get_ca_certs()) == 1


def test_a_client_certificate_is_loaded_with_its_encrypted_key(pem: Path) -> None:
    kafka = tls(ssl_certfile=pem / "cert.pem", ssl_keyfile=pem / "key.pem", ssl_key_password=PASSWORD)
    assert kafka_access(Settings(kafka=kafka)) is not None
    for wrong in ("wrong", None):
        with pytest.raises(ConfigError, match="ssl_key_password where it is encrypted"):
            kafka_access(Settings(kafka=dataclasses.replace(kafka, ssl_key_password=wrong)))


@pytest.mark.parametrize("name", ["garbage.pem", "missing.pem"])
def test_files_that_are_not_what_they_should_be_are_named(pem: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"kafka.ssl_cafile \(TIDEMILL_KAFKA_SSL_CAFILE\) is .*{name}"):
        kafka_access(Settings(kafka=tls(ssl_cafile=pem / name)))
    with pytest.raises(ConfigError, match=rf"kafka.ssl_certfile .* is .*{name} with the key in it"):
        kafka_access(Settings(kafka=tls(ssl_certfile=pem / name)))


def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"kafka\.sasl_token_file .* there is no such file"):
        options(
            security_protocol=SecurityProtocol.SASL_PLAINTEXT,
            sasl_mechanism=SaslMechanism.OAUTHBEARER,
            sasl_token_file=tmp_path / "gone",
        )


def oauth(**kafka: Any) -> list[str]:
    given = {"security_protocol": SecurityProtocol.SASL_SSL, "sasl_mechanism": SaslMechanism.OAUTHBEARER, **kafka}
    return kafka_problems(Kafka(bootstrap_servers="a:9092", **given))


def test_tokens_come_from_a_file_or_from_an_endpoint_and_not_from_both() -> None:
    endpoint = {"sasl_token_url": "https://a/token", "sasl_client_id": "me", "sasl_client_secret": "s"}
    extra = {"sasl_scope": "kafka", "sasl_extensions": (Pair("logicalCluster", "lkc-1"),)}
    assert oauth(**endpoint) == oauth(**endpoint, **extra) == oauth(sasl_token_file=Path("t")) == []
    assert [(" too, or kafka.sasl_token_url" in one, "sasl_token_file" in one) for one in oauth()] == [(True, True)]
    assert [one.partition(" (")[0] for one in oauth(**endpoint, sasl_token_file=Path("t"))] == ["kafka.sasl_token_file"]
    assert ["set kafka.sasl_client_secret" in one for one in oauth(**endpoint | {"sasl_client_secret": None})] == [True]
    assert ["does not use it: remove it" in one for one in oauth(sasl_token_file=Path("t"), sasl_scope="x")] == [True]


def test_the_name_in_a_certificate_may_be_left_unchecked() -> None:
    assert options(security_protocol=SecurityProtocol.SSL)["ssl_context"].check_hostname
    context = options(security_protocol=SecurityProtocol.SSL, ssl_check_hostname=False)["ssl_context"]
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)


@pytest.mark.parametrize(
    ("code", "words"), [(10, "not valid now"), (62, "for another name"), (64, "for another name"), (19, "not trusted")]
)
def test_what_is_wrong_with_a_certificate_is_told(code: int, words: str) -> None:
    error = ssl.SSLCertVerificationError("refused")
    error.verify_code, error.verify_message = code, "as openssl says"
    assert words in why(error, {})
    assert "as openssl says" in why(error, {})


@pytest.mark.timeout(10)
def test_an_error_that_lies_below_itself_is_told_all_the_same() -> None:
    """The client keeps errors and raises them again, in the handling of what they have led to."""
    error, other = KafkaConnectionError("gone"), OSError("cut")
    error.__cause__, other.__context__ = other, error
    assert "closes the connection" in why(error, {})
