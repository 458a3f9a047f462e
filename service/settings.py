"""Everything that can be set, in one frozen object. How it is read: `service.config`.

The metadata of each field is the single source of its environment variable, its check, its line in
`docs/operating.md` and whether it is a secret (never in a `repr`, masked when shown).
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service import values
from service.oidc_settings import Oidc
from service.retention import Policy
from service.setting import Setting, setting
from service.values import Amount


class Role(enum.StrEnum):
    """What a daemon does. One process may play every role."""

    API = "api"
    TRIGGERS = "triggers"
    EXECUTOR = "executor"


class EventMode(enum.StrEnum):
    """How CloudEvents are written."""

    STRUCTURED = "structured"
    BINARY = "binary"


class SecurityProtocol(enum.StrEnum):
    """How brokers are spoken to, in Kafka's own words."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SaslMechanism(enum.StrEnum):
    """How a client proves to a broker who it is, in Kafka's own words."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class Broker(enum.StrEnum):
    """What `tidemill up` embeds where no broker is set."""

    TANSU = "tansu"
    APACHE = "apache"


class LogLevel(enum.StrEnum):
    """How much the daemon says."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """For whom the daemon's log is written: a person or a collector."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The Postgres that holds the truth. No `url`: `tidemill up` starts an embedded one."""

    url: str | None = setting(
        None, values.postgres_url, "Postgres, as a libpq URL; `up` embeds one where none is set", secret=True
    )
    max_connections: int = setting(10, values.whole(2, 1000), "connections one daemon may open")
    migrate: bool = setting(True, values.flag, "whether `serve` applies migrations when it starts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """The broker. Which of the security settings go together is checked by `service.kafka_access`."""

    bootstrap_servers: str | None = setting(
        None, values.servers, "brokers as `host:port`, several with commas; `up` embeds one where none is set"
    )
    embedded: Broker = setting(
        Broker.TANSU,
        values.choice(Broker),
        "what `up` embeds: `tansu` starts at once and forgets all when it stops, `apache` keeps it and needs Java",
    )
    group_prefix: str = setting("tidemill", values.text, "first part of the names of consumer groups")
    session_s: float = setting(10.0, values.seconds(1, 300), "after this silence others read a daemon's partitions")
    create_topics: bool = setting(False, values.flag, "whether topics that triggers name are created when missing")
    security_protocol: SecurityProtocol = setting(
        SecurityProtocol.PLAINTEXT,
        values.choice(SecurityProtocol),
        "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`",
    )
    sasl_mechanism: SaslMechanism | None = setting(
        None, values.choice(SaslMechanism), "`PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`"
    )
    sasl_username: str | None = setting(None, values.text, "user for `PLAIN` and `SCRAM`")
    sasl_password: str | None = setting(None, values.text, "password for `PLAIN` and `SCRAM`", secret=True)
    sasl_token_file: Path | None = setting(
        None, values.path, "file with the token for `OAUTHBEARER`, read anew at each connection"
    )
    sasl_token_url: str | None = setting(
        None, values.http_url, "or the OAuth 2 endpoint that gives tokens by client credentials"
    )
    sasl_client_id: str | None = setting(None, values.text, "client id for `sasl_token_url`")
    sasl_client_secret: str | None = setting(None, values.text, "client secret for `sasl_token_url`", secret=True)
    sasl_scope: str | None = setting(None, values.text, "scope to ask `sasl_token_url` for, where it wants one")
    sasl_extensions: tuple[values.Pair, ...] = setting(
        (), values.several(values.pair), "sent with the token, such as `logicalCluster=lkc-1,identityPoolId=pool-1`"
    )
    ssl_cafile: Path | None = setting(None, values.path, "certificates to trust (PEM); default: the system's")
    ssl_check_hostname: bool = setting(True, values.flag, "whether the broker's certificate must have its name")
    ssl_certfile: Path | None = setting(None, values.path, "client certificate (PEM) for mutual TLS")
    ssl_keyfile: Path | None = setting(None, values.path, "its key (PEM), where it is not in `ssl_certfile`")
    ssl_key_password: str | None = setting(None, values.text, "password of the key", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The schema registry that values of Kafka records are framed for."""

    url: str | None = setting(None, values.http_url, 'schema registry, for triggers with `value="registry"`')
    username: str | None = setting(None, values.text, "user, or API key, it asks for")
    password: str | None = setting(None, values.text, "password, or API secret", secret=True)
    token: str | None = setting(None, values.token, "bearer token, instead of user and password", secret=True)
    ssl_cafile: Path | None = setting(None, values.path, "certificates to trust (PEM); default: the system's")
    ssl_certfile: Path | None = setting(None, values.path, "client certificate (PEM), where it wants one")
    ssl_keyfile: Path | None = setting(None, values.path, "its key (PEM), where it is not in `ssl_certfile`")
    ssl_key_password: str | None = setting(None, values.text, "password of the key", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Where the API, webhooks and health checks are answered."""

    host: str = setting(
        "127.0.0.1", values.text, "address to listen on; beyond loopback it needs `http.api_token` or `oidc.issuer`"
    )
    port: int = setting(8400, values.whole(0, 65535), "port to listen on; 0 takes any free one")
    max_body_bytes: int = setting(1_048_576, values.whole(65_536, 1 << 28), "largest request body that is read")
    idempotency_s: float = setting(
        86_400.0, values.seconds(60, 2_592_000), "how long a request is known by its `Idempotency-Key`"
    )
    held_bytes: int = setting(1 << 26, values.whole(1 << 20, 1 << 34), "bytes of requests at once; for more, 503")
    event_origins: tuple[str, ...] = setting(
        ("*",), values.several(values.text), "senders that may post CloudEvents, for those that ask first; `*`: all"
    )
    api_token: str | None = setting(
        None,
        values.token,
        "bearer token that every request but health checks and signed hooks must carry",
        env="TIDEMILL_API_TOKEN",
        secret=True,
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        values.several(values.network),
        "addresses and networks of proxies whose `X-Forwarded-For` and `-Proto` tell where a request is from, and how",
        default_text="none",
    )
    public_url: str | None = setting(
        None,
        values.http_url,
        "where people reach the API, for one-time links",
        default_text="the address it listens on",
    )
    link_key: str | None = setting(
        None,
        values.token,
        "what one-time links are signed with",
        secret=True,
        default_text="a key kept in the database",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """Where it is told, as CloudEvents, how runs go."""

    topic: str | None = setting(None, values.text, "Kafka topic to which runs tell how they go; default: none")
    url: str | None = setting(
        None, values.http_url, "address to which runs tell how they go; https, or this machine; default: none"
    )
    token: str | None = setting(None, values.token, "bearer token for `lifecycle.url`", secret=True)
    mode: EventMode = setting(
        EventMode.STRUCTURED, values.choice(EventMode), "`structured` (JSON) or `binary` (attributes in headers)"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """How much one daemon does at once, and how it gives work back."""

    max_runs: int = setting(200, values.whole(1, 100_000), "runs one daemon drives at once")
    threads: int = setting(8, values.whole(1, 1000), "stages that are plain functions it runs at once")
    warm_workers: int = setting(
        1, values.whole(0, 1000), "worker processes started ahead, with the pipelines loaded that have stages for them"
    )
    kept_bytes: int = setting(
        256 << 20,
        values.whole(0, 1 << 40),
        "what each worker process keeps of the frames that its stages made and read, for the next stage",
    )
    container_cli: str | None = setting(
        None, values.text, "command that runs containers", default_text="`docker` or `podman`, the first on the PATH"
    )
    lease_s: float = setting(5.0, values.seconds(1, 3600), "after this silence others adopt a daemon's runs")
    drain_s: float = setting(30.0, values.seconds(0, 86_400), "how long a stopping daemon lets stages finish")
    log_bytes: int = setting(
        16 << 20, values.whole(0, 1 << 30), "how much of what one attempt logs is kept beside its first lines"
    )
    resources: tuple[Amount, ...] = setting(
        (),
        values.amounts(whole=False),
        "what stages with `resources=` may take of this daemon, such as `cpu=8,memory_gb=24,gpu=1`",
        default_text="`cpu`: its cores",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """Where what stages make is kept."""

    url: str = setting(
        "",
        values.artifact_url,
        "`file:`, `s3:`, `gs:` or `az:` URL; daemons on several machines need a bucket",
        env="TIDEMILL_ARTIFACTS",
        default_text="artifacts/ in home",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept, and for how long. By default everything but the run log is."""

    days: float | None = setting(
        None, values.days(0, 36_500), "runs that finished this many days ago are removed; default: none is"
    )
    runs: int | None = setting(
        None, values.whole(1, 1_000_000_000), "this many runs of each pipeline stay, whatever their age"
    )
    events_days: float | None = setting(
        None,
        values.days(0, 36_500),
        "events this old that are in no run are forgotten: a repeat is a new event; counts of predictions go with them",
    )
    log_days: float = setting(
        7.0, values.days(1, 36_500), "days of the run log that are kept once every sink has read them"
    )
    audit_days: float | None = setting(
        None, values.days(1, 36_500), "days of the audit log that are kept; default: all of it is"
    )
    grace_s: float = setting(
        86_400.0, values.seconds(3600, 31_536_000), "artifacts that nothing refers to stay this long, twice"
    )
    every_s: float = setting(
        3600.0, values.seconds(10, 604_800), "how often a daemon cleans up, where any of these bounds is set"
    )

    @property
    def policy(self) -> Policy:
        """As the clean-up reads it."""
        return Policy(days=self.days, runs=self.runs, events_days=self.events_days, grace_s=self.grace_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Which daemon the command line speaks to."""

    url: str | None = setting(
        None,
        values.http_url,
        "daemon that the command line speaks to",
        env="TIDEMILL_URL",
        default_text="http.host and http.port",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What the daemon writes to standard error."""

    level: LogLevel = setting(LogLevel.INFO, values.choice(LogLevel), "`debug`, `info`, `warning` or `error`")
    format: LogFormat = setting(LogFormat.TEXT, values.choice(LogFormat), "`text` for people, `json` for collectors")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The effective settings of this process. `origins` tells where each value that is not a default came from.

    `root` and `home` are absolute when read by `service.config`; `root` goes first on the import path of pipelines.
    """

    root: Path = setting(Path(), values.path, "folder where relative paths start and pipelines are imported from")
    home: Path = setting(Path(".tidemill"), values.path, "for embedded servers, local artifacts, compiled pages")
    pipelines: tuple[str, ...] = setting(
        (), values.several(values.pipeline), "pipelines to load, each `package.module:name`"
    )
    pools: tuple[Amount, ...] = setting(
        (), values.amounts(whole=True), "places of each pool that pipelines share, such as `warehouse=4,gpu=1`"
    )
    roles: tuple[Role, ...] = setting(
        tuple(Role), values.some(values.choice(Role)), "what this daemon does: `api`, `triggers`, `executor`"
    )
    groups: tuple[values.Group, ...] = setting(
        (), values.groups, "who is in which group that gates name: `ml-leads=kim+lee,ops=sam`; none: anybody may decide"
    )
    plain_hosts: tuple[str, ...] = setting(
        (), values.several(values.text), "hosts with which no TLS is needed: `pg,*.local`"
    )
    database: Database = field(default_factory=Database)
    kafka: Kafka = field(default_factory=Kafka)
    registry: Registry = field(default_factory=Registry)
    http: Http = field(default_factory=Http)
    oidc: Oidc = field(default_factory=Oidc)
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    executor: Executor = field(default_factory=Executor)
    artifacts: Artifacts = field(default_factory=Artifacts)
    retention: Retention = field(default_factory=Retention)
    client: Client = field(default_factory=Client)
    log: Log = field(default_factory=Log)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


SECTIONS: Mapping[str, type[Any]] = {
    "database": Database,
    "kafka": Kafka,
    "registry": Registry,
    "http": Http,
    "oidc": Oidc,
    "lifecycle": Lifecycle,
    "executor": Executor,
    "artifacts": Artifacts,
    "retention": Retention,
    "client": Client,
    "log": Log,
}


@dataclass(frozen=True, slots=True)
class Known:
    """One setting under its full key, such as `http.port`."""

    key: str
    env: str
    default: Any
    about: Setting

    def of(self, settings: Settings) -> Any:
        """Its value in `settings`."""
        section, _, name = self.key.rpartition(".")
        return getattr(getattr(settings, section) if section else settings, name)


def _known(kind: type[Any], section: str = "") -> dict[str, Known]:
    found = {}
    for each in dataclasses.fields(kind):
        about: Setting | None = each.metadata.get("setting")
        if about:
            key = f"{section}.{each.name}" if section else each.name
            env = about.env or "TIDEMILL_" + key.replace(".", "_").upper()
            found[key] = Known(key, env, each.default, about)
    return found


KNOWN: Mapping[str, Known] = _known(Settings) | {
    key: known for section, kind in SECTIONS.items() for key, known in _known(kind, section).items()
}
