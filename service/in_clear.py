"""Where what this daemon says could be read on its way: addresses of other machines, spoken to without TLS."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qs, urlsplit

from service.config import is_loopback
from service.settings import KNOWN, SecurityProtocol, Settings
from service.values import http_url
from stages.stores import OBJECT_SCHEMES

# The default, `prefer`, speaks in clear to a server that says it has no TLS, and to whoever stands there in its place.
SAFE_MODES = {"require", "verify-ca", "verify-full"}
VERIFIED = "sslmode=verify-full&sslrootcert=system (or =/path/to/ca.pem)"
PLAIN = {"http", "pulsar"}
# Where an object store is, as obstore reads it, and where Kinesis is, as botocore does.
STORES = (
    *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    *("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "GOOGLE_BASE_URL"),
)
STREAMS = ("AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL")
# Where others find this daemon: what stands before it speaks TLS.
OWN = {"http.public_url"}
# What of a trigger is an address: of a stream or a bucket, of Pulsar.
ADDRESSES = ("endpoint", "service")


def in_clear(settings: Settings, triggers: Iterable[Any]) -> list[str]:
    """One line for each, which says what to do about it. `plain_hosts` names those of which one knows."""
    listening = list(triggers)
    found = [*_database(settings), *_kafka(settings), *_web(settings)]
    found += [*_stores(settings, listening), *_of_triggers(listening)]
    return [told for host, told in found if not _is_known(host, settings)]


def _is_known(host: str, settings: Settings) -> bool:
    return is_loopback(host) or any(fnmatchcase(host, pattern) for pattern in settings.plain_hosts)


def _database(settings: Settings) -> Iterator[tuple[str, str]]:
    parts = urlsplit(settings.database.url or "")
    query = parse_qs(parts.query)
    mode = (query.get("sslmode") or [os.environ.get("PGSSLMODE", "prefer")])[-1]
    if mode in SAFE_MODES or not settings.database.url:
        return
    there = parts.netloc.rpartition("@")[2] or ",".join(query.get("host", [])) or os.environ.get("PGHOST", "")
    for address in there.split(","):
        host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
        if host and not host.startswith("/"):
            yield host, f"Postgres at {host} may be spoken to in clear: add {VERIFIED} to database.url"


def _kafka(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.kafka.security_protocol in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL):
        return
    safe = "SASL_SSL" if settings.kafka.security_protocol is SecurityProtocol.SASL_PLAINTEXT else "SSL"
    for server in (settings.kafka.bootstrap_servers or "").split(","):
        host = server.rpartition(":")[0]
        if host:
            yield host, f"Kafka at {host} is spoken to in clear: set kafka.security_protocol to {safe}"


def _web(settings: Settings) -> Iterator[tuple[str, str]]:
    for key, known in KNOWN.items():
        if known.about.read is http_url and key not in OWN:
            yield from _plain(known.of(settings) or "", key)


def _stores(settings: Settings, triggers: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """That of the artifacts, and what triggers read that name no address of their own."""
    elsewhere = [one for one in triggers if not getattr(one, "endpoint", "")]
    urls = [settings.artifacts.url, *(str(getattr(one, "url", "")) for one in elsewhere)]
    names = [*STORES] if any(urlsplit(url).scheme in OBJECT_SCHEMES for url in urls) else []
    names += STREAMS if any(getattr(one, "family", "") == "kinesis" for one in elsewhere) else ()
    for name in dict.fromkeys(names):
        yield from _plain(os.environ.get(name, ""), name)


def _of_triggers(triggers: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for trigger in triggers:
        named = [(name, getattr(trigger, name, None)) for name in ADDRESSES]
        named += [("options", value) for value in (getattr(trigger, "options", None) or {}).values()]
        for name, url in named:
            if isinstance(url, str):
                yield from _plain(url, f"{type(trigger).__name__}({name}=)")


def _plain(url: str, what: str) -> Iterator[tuple[str, str]]:
    parts = urlsplit(url)
    if parts.scheme in PLAIN and parts.hostname:
        yield parts.hostname, f"{what} leads to {parts.hostname} in clear: give an address with TLS"
