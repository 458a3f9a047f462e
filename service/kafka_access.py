"""From the Kafka settings to what aiokafka's clients take: which settings go together, TLS, tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from service.errors import ConfigError
from service.settings import KNOWN, Kafka, Registry, SaslMechanism, SecurityProtocol, Settings

if TYPE_CHECKING:
    import ssl

    from triggers.base import KafkaAccess, RegistryAccess

_TLS = frozenset({SecurityProtocol.SSL, SecurityProtocol.SASL_SSL})
_SASL = frozenset({SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL})
_CREDENTIALS = (
    *("sasl_username", "sasl_password", "sasl_token_file", "sasl_token_url"),
    *("sasl_client_id", "sasl_client_secret", "sasl_scope", "sasl_extensions"),
)


def kafka_access(settings: Settings) -> KafkaAccess | None:
    """How to reach the broker, or None where none is set. Reads the TLS files now; raises ConfigError."""
    from triggers.base import KafkaAccess

    kafka = settings.kafka
    if kafka.bootstrap_servers is None:
        return None
    return KafkaAccess(
        bootstrap_servers=kafka.bootstrap_servers,
        group_prefix=kafka.group_prefix,
        session_s=kafka.session_s,
        options=_options(kafka),
        create_topics=kafka.create_topics,
        registry=registry_access(settings.registry),
    )


def registry_access(registry: Registry) -> RegistryAccess | None:
    """How to reach the schema registry, or None where none is set. Reads the TLS files now; raises ConfigError."""
    import base64

    from triggers.base import RegistryAccess

    if registry.url is None:
        return None
    headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
    if registry.token is not None:
        headers["Authorization"] = f"Bearer {registry.token}"
    elif registry.username is not None:
        login = f"{registry.username}:{registry.password or ''}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    secure = registry.url.startswith("https:")
    return RegistryAccess(registry.url, headers, _ssl_context(registry, "registry") if secure else None)


def registry_problems(registry: Registry) -> list[str]:
    """What in the settings of the schema registry does not go together, each with what to do."""
    names = [f"registry.{each.name}" for each in fields(registry) if getattr(registry, each.name) is not None]
    if registry.url is None:
        return [f"{name} is set, but no registry: set registry.url too" for name in names]
    problems = []
    if "@" in registry.url.split("/")[2]:
        problems.append("registry.url holds a user: set registry.username and registry.password instead")
    if registry.token is not None and registry.username is not None:
        problems.append("registry.token and registry.username are both set: remove one of them")
    if registry.password is not None and registry.username is None:
        problems.append("registry.password is set without registry.username: set it too")
    return problems


def kafka_problems(kafka: Kafka) -> list[str]:
    """What in the Kafka settings does not go together, each with what to do."""
    return [*_server_problems(kafka), *_sasl_problems(kafka), *_tls_problems(kafka)]


def _named(name: str, section: str = "kafka") -> str:
    return f"{section}.{name} ({KNOWN[f'{section}.{name}'].env})"


def _given(kafka: Kafka, *names: str) -> list[str]:
    return [name for name in names if getattr(kafka, name) not in (None, ())]


def _server_problems(kafka: Kafka) -> Iterator[str]:
    secured = kafka.security_protocol is not SecurityProtocol.PLAINTEXT
    if secured and not kafka.bootstrap_servers:
        yield (
            f"{_named('security_protocol')} is {kafka.security_protocol}, but no broker is set: "
            f"set {_named('bootstrap_servers')} too"
        )


def _sasl_problems(kafka: Kafka) -> Iterator[str]:
    credentials = _given(kafka, *_CREDENTIALS)
    if kafka.security_protocol not in _SASL:
        for name in _given(kafka, "sasl_mechanism") + credentials:
            yield (
                f"{_named(name)} is set, but {_named('security_protocol')} is {kafka.security_protocol}: "
                "make that SASL_SSL, or SASL_PLAINTEXT in a network you trust"
            )
        return
    if kafka.sasl_mechanism is None:
        yield (
            f"{_named('security_protocol')} is {kafka.security_protocol}: "
            f"set {_named('sasl_mechanism')} to one of {', '.join(SaslMechanism)}"
        )
        return
    needed = _needed(kafka)
    for name in needed:
        if name not in credentials:
            instead = f", or {_named('sasl_token_url')}" if name == "sasl_token_file" else ""
            yield f"{_named('sasl_mechanism')} is {kafka.sasl_mechanism}: set {_named(name)} too{instead}"
    for name in credentials:
        if name not in (*needed, *_wanted(kafka)):
            yield f"{_named(name)} is set, but {kafka.sasl_mechanism} does not use it{_aside(kafka)}: remove it"


def _needed(kafka: Kafka) -> tuple[str, ...]:
    if kafka.sasl_mechanism is not SaslMechanism.OAUTHBEARER:
        return ("sasl_username", "sasl_password")
    if kafka.sasl_token_url is None:
        return ("sasl_token_file",)
    return ("sasl_token_url", "sasl_client_id", "sasl_client_secret")


def _wanted(kafka: Kafka) -> tuple[str, ...]:
    """What may be set beside what is needed."""
    if kafka.sasl_mechanism is not SaslMechanism.OAUTHBEARER:
        return ()
    return ("sasl_extensions",) if kafka.sasl_token_url is None else ("sasl_extensions", "sasl_scope")


def _aside(kafka: Kafka) -> str:
    return " beside sasl_token_url" if kafka.sasl_token_url and kafka.sasl_token_file else ""


def _tls_problems(kafka: Kafka) -> Iterator[str]:
    given = _given(kafka, "ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_key_password")
    if kafka.security_protocol not in _TLS:
        for name in given:
            yield (
                f"{_named(name)} is set, but {_named('security_protocol')} is {kafka.security_protocol}: "
                "make that SSL or SASL_SSL"
            )
        return
    for name in ("ssl_keyfile", "ssl_key_password"):
        if name in given and "ssl_certfile" not in given:
            yield f"{_named(name)} is set without a certificate: set {_named('ssl_certfile')} too"


def _options(kafka: Kafka) -> dict[str, Any]:
    if kafka.security_protocol is SecurityProtocol.PLAINTEXT:
        return {}
    options: dict[str, Any] = {"security_protocol": str(kafka.security_protocol)}
    if kafka.security_protocol in _TLS:
        options["ssl_context"] = context = _ssl_context(kafka, "kafka")
        context.check_hostname = kafka.ssl_check_hostname
    if kafka.sasl_mechanism:
        options["sasl_mechanism"] = str(kafka.sasl_mechanism)
    if kafka.sasl_mechanism is SaslMechanism.OAUTHBEARER:
        options["sasl_oauth_token_provider"] = _token_provider(kafka)
    elif kafka.sasl_mechanism:
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = kafka.sasl_password
    return options


def _ssl_context(files: Kafka | Registry, section: str) -> ssl.SSLContext:
    """A context that checks the other's certificate and name, and shows ours where one is set."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=files.ssl_cafile)
    except (OSError, ssl.SSLError) as error:
        named = _named("ssl_cafile", section)
        raise ConfigError(f"{named} is {files.ssl_cafile}: {error}: expected PEM certificates") from None
    if files.ssl_certfile:
        # Without a password OpenSSL would ask for one on the terminal, and a daemon would hang there.
        password = files.ssl_key_password or ""
        try:
            context.load_cert_chain(files.ssl_certfile, files.ssl_keyfile, password)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"{_named('ssl_certfile', section)} is {files.ssl_certfile} with the key "
                f"{files.ssl_keyfile or 'in it'}: {error}: expected PEM, and ssl_key_password where it is encrypted"
            ) from None
    return context


def _token_provider(kafka: Kafka) -> Any:
    from service.kafka_tokens import EndpointTokens, FileTokens

    extensions = {one.name: one.value for one in kafka.sasl_extensions}
    if kafka.sasl_token_url is not None:
        client = (kafka.sasl_client_id or "", kafka.sasl_client_secret or "")
        trust = partial(_trust, kafka)
        return EndpointTokens(kafka.sasl_token_url, client, scope=kafka.sasl_scope, extensions=extensions, trust=trust)
    file = kafka.sasl_token_file
    if file is None or not file.is_file():
        raise ConfigError(f"{_named('sasl_token_file')} is {file}: there is no such file")
    return FileTokens(file, extensions)


def _trust(kafka: Kafka) -> ssl.SSLContext:
    """For the token endpoint: the system's authorities, and ours where one is named."""
    import ssl

    context = ssl.create_default_context()
    if kafka.ssl_cafile is not None:
        context.load_verify_locations(kafka.ssl_cafile)
    return context
