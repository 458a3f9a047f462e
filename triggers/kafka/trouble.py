"""Why a broker cannot be used, in words that say what to do. The Kafka client itself tells only that it could not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from triggers.base import KafkaAccess
from triggers.errors import TokenUnavailable

_SERVERS = "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS"
_PROTOCOL = "kafka.security_protocol"
_PATIENCE_S = 10.0
_ALERT_S = 1.0
_CONNECTION_OPTIONS = (
    "ssl_context",
    "security_protocol",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
    "sasl_oauth_token_provider",
)
# What OpenSSL says of a certificate it does not like (X509_V_ERR_...).
_EXPIRED, _NOT_YET, _NAME, _ADDRESS = 10, 9, 62, 64


async def diagnose(access: KafkaAccess, servers: Iterable[tuple[str, int]] | None = None) -> str:
    """Connect to `servers` (by default, where `access` says) and tell what is in the way; `""`: one of them works."""
    told = ""
    for host, port in servers or addresses(access.bootstrap_servers):
        told = await _try(access.options, host, port)
        if not told:
            return ""
    return told


def addresses(bootstrap_servers: str) -> list[tuple[str, int]]:
    """`host:port,[::1]:port` taken apart."""
    parts = [one.strip().rpartition(":") for one in bootstrap_servers.split(",") if one.strip()]
    return [(host.strip("[]"), int(port)) for host, _, port in parts]


async def _try(options: Mapping[str, Any], host: str, port: int) -> str:
    named = f"broker {host}:{port}"
    connection: Any = None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            given = {name: options[name] for name in _CONNECTION_OPTIONS if name in options}
            connection = await create_conn(host, port, request_timeout_ms=int(1000 * _PATIENCE_S), **given)
            answer = await connection.send(MetadataRequest([]))
            if not answer.brokers:
                return f"{named} {_nobody(options)}"
    except TokenUnavailable as error:
        return f"no token for {named}: {error}"
    except (KafkaError, OSError, TimeoutError) as error:
        return f"{named} {why(await _alert(options, host, port) or error, options)}"
    finally:
        if connection is not None:
            connection.close()
    return ""


async def _alert(options: Mapping[str, Any], host: str, port: int) -> BaseException | None:
    """What TLS says against us. A broker speaks of our certificate after the handshake, where the client drops it."""
    if "ssl_context" not in options:
        return None
    writer = None
    try:
        async with asyncio.timeout(_ALERT_S):
            reader, writer = await asyncio.open_connection(host, port, ssl=options["ssl_context"])
            await reader.read(1)
    except ssl.SSLError as error:
        return error
    except (OSError, TimeoutError):
        return None
    finally:
        if writer is not None:
            writer.transport.abort()
    return None


def why(error: BaseException, options: Mapping[str, Any]) -> str:
    """What a connection's error means, and what to do about it."""
    if isinstance(error, AuthenticationFailedError | SaslAuthenticationFailed):
        return _login(error, options)
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"does not offer {options.get('sasl_mechanism')}: set kafka.sasl_mechanism to one it has ({error})"
    told = next(filter(None, map(_outside, _chain(error))), "")
    if told:
        return told
    if isinstance(error, KafkaConnectionError | IllegalSaslStateError | EOFError | ConnectionError):
        spoken = options.get("security_protocol", "PLAINTEXT")
        return f"does not answer but closes the connection: does it speak {spoken} at that port? Check {_PROTOCOL}"
    return f"{'does not answer' if not isinstance(error, KafkaError) or error.retriable else 'refuses'}: {error!r}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those below it: the client wraps what broke a connection in one of its own.

    Each once: the client raises the same error again in other places, so that it may come to lie below itself.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _outside(error: BaseException) -> str:
    """What the network and TLS say."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    if isinstance(error, ssl.SSLError):
        return _handshake(error)
    if isinstance(error, socket.gaierror):
        return f"has a name that cannot be resolved: check {_SERVERS}"
    if isinstance(error, ConnectionRefusedError):
        return f"does not answer: nothing listens there: start it, or check {_SERVERS}"
    if isinstance(error, TimeoutError | RequestTimedOutError):
        return f"does not answer in time: check {_SERVERS}, firewalls, and whether {_PROTOCOL} is what it speaks there"
    return ""


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (_NAME, _ADDRESS):
        return (
            f"shows a certificate for another name ({error.verify_message}): connect by a name in it, "
            "or set kafka.ssl_check_hostname to false"
        )
    if error.verify_code in (_EXPIRED, _NOT_YET):
        return f"shows a certificate that is not valid now ({error.verify_message}): renew it, or set the clock"
    return (
        f"shows a certificate that is not trusted ({error.verify_message}): "
        "set kafka.ssl_cafile to the certificate of its authority"
    )


def _handshake(error: ssl.SSLError) -> str:
    reason = error.reason or str(error)
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return f"wants a certificate of ours ({reason}): set kafka.ssl_certfile and kafka.ssl_keyfile"
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason:
        return (
            f"refuses our certificate, or misses one ({reason}): "
            "set kafka.ssl_certfile to one that is signed by an authority it trusts"
        )
    return f"does not speak TLS as we do ({reason}): check that {_PROTOCOL} is what it speaks at that port"


def _nobody(options: Mapping[str, Any]) -> str:
    """Apache Kafka refuses a token by a challenge, which the client does not read, and then knows of no brokers."""
    if "sasl_oauth_token_provider" in options:
        return _login(AuthenticationFailedError(), options)
    return "answers, but knows of no brokers: is its cluster up?"


def _login(error: BaseException, options: Mapping[str, Any]) -> str:
    told = f" ({error.args[0]})" if error.args and error.args[0] else ""
    provider = options.get("sasl_oauth_token_provider")
    if provider is not None:
        return f"refuses {provider.says()}{told}: have it renewed, and check issuer, audience and scope"
    return (
        f"refuses user {options.get('sasl_plain_username')!r} with this password{told}: "
        "check kafka.sasl_username, kafka.sasl_password and kafka.sasl_mechanism"
    )
