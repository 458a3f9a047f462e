from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.config import MASK, describe, is_loopback, read_settings, reference
from service.db.connect import where
from service.errors import ConfigError
from service.settings import KNOWN, LogFormat, Role, SaslMechanism, SecurityProtocol, Settings


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str | None = None, environ: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    path = None
    if text is not None:
        path = Path("mill.toml")
        path.write_text(text, encoding="utf-8")
    return read_settings(path, environ or {}, {key.replace("__", "."): value for key, value in flags.items()})


def mistake(text: str | None = None, environ: Mapping[str, str] | None = None, **flags: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, environ, **flags)
    return str(caught.value)


def shown(settings: Settings) -> dict[str, tuple[str, str]]:
    return {key: (value, origin) for key, value, origin in describe(settings)}


# What is read, and what wins.


def test_without_anything_the_daemon_is_local_and_plays_every_role(tmp_path: Path) -> None:
    settings = read()
    assert (settings.http.host, settings.http.port, settings.http.max_body_bytes) == ("127.0.0.1", 8400, 1 << 20)
    assert settings.home == tmp_path / ".tidemill"
    assert settings.artifacts.url == (tmp_path / ".tidemill" / "artifacts").as_uri()
    assert settings.roles == (Role.API, Role.TRIGGERS, Role.EXECUTOR)
    assert settings.database.url is None
    assert settings.kafka.bootstrap_servers is None
    assert settings.executor.lease_s == 5.0
    assert {origin for _, origin in shown(settings).values()} == {"default"}


def test_the_environment_wins_over_the_file_and_a_flag_over_both() -> None:
    text = "[http]\nport = 1001\nhost = '127.0.0.2'\nmax_body_bytes = 100_000"
    environ = {"TIDEMILL_HTTP_PORT": "1002", "TIDEMILL_HTTP_HOST": "127.0.0.3"}
    settings = read(text, environ, http__port=1003)
    assert (settings.http.port, settings.http.host, settings.http.max_body_bytes) == (1003, "127.0.0.3", 100_000)
    origins = shown(settings)
    assert origins["http.port"] == ("1003", "command line")
    assert origins["http.host"] == ("127.0.0.3", "TIDEMILL_HTTP_HOST")
    assert origins["http.max_body_bytes"] == ("100000", "mill.toml")


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert read("[http]\nport = 1001", http__port=None).http.port == 1001


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read("[http]\nport = 1001", {"TIDEMILL_HTTP_PORT": ""}).http.port == 1001


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("TIDEMILL_DATABASE_URL", "postgresql://me@db/mill", "database.url", "postgresql://me@db/mill"),
        ("TIDEMILL_KAFKA_BOOTSTRAP_SERVERS", "a:9092, [::1]:9093", "kafka.bootstrap_servers", "a:9092,[::1]:9093"),
        ("TIDEMILL_HTTP_HOST", "localhost", "http.host", "localhost"),
        ("TIDEMILL_HTTP_PORT", "8500", "http.port", 8500),
        ("TIDEMILL_ARTIFACTS", "s3://bucket/prefix", "artifacts.url", "s3://bucket/prefix"),
        ("TIDEMILL_API_TOKEN", "abc", "http.api_token", "abc"),
        ("TIDEMILL_PIPELINES", "a.b:c, d:e,a.b:c", "pipelines", ("a.b:c", "d:e")),
        ("TIDEMILL_ROLES", "API,executor", "roles", (Role.API, Role.EXECUTOR)),
        ("TIDEMILL_URL", "https://mill.example", "client.url", "https://mill.example"),
        ("TIDEMILL_DATABASE_MIGRATE", "no", "database.migrate", False),
        ("TIDEMILL_EXECUTOR_LEASE_S", "2.5", "executor.lease_s", 2.5),
        ("TIDEMILL_LOG_FORMAT", "JSON", "log.format", LogFormat.JSON),
    ],
)
def test_a_variable_sets_its_key(variable: str, value: str, key: str, expected: object) -> None:
    assert KNOWN[key].of(read(None, {variable: value})) == expected


def test_every_setting_has_a_variable_of_its_own() -> None:
    variables = [known.env for known in KNOWN.values()]
    assert len(set(variables)) == len(variables)
    assert all(name.startswith("TIDEMILL_") for name in variables)


def test_a_file_may_hold_lists_and_sections() -> None:
    settings = read("pipelines = ['a:b', 'c.d:e']\nroles = ['api']\n[kafka]\nbootstrap_servers = ['a:1', 'b:2']")
    assert settings.pipelines == ("a:b", "c.d:e")
    assert settings.roles == (Role.API,)
    assert settings.kafka.bootstrap_servers == "a:1,b:2"


def test_relative_paths_start_at_root_and_root_at_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    settings = read("root = 'project'\nhome = 'state'")
    assert settings.root == tmp_path / "project"
    assert settings.home == tmp_path / "project" / "state"


def test_the_default_artifact_url_is_absolute_and_percent_encoded(tmp_path: Path) -> None:
    assert read(None, {"TIDEMILL_HOME": "my home"}).artifacts.url == (tmp_path / "my home" / "artifacts").as_uri()


# Where the file is found.


def test_a_file_in_the_working_directory_is_read_unasked() -> None:
    Path("tidemill.toml").write_text("[http]\nport = 1001")
    assert read_settings(environ={}).http.port == 1001


def test_the_argument_wins_over_the_variable_and_that_over_the_working_directory() -> None:
    for number, name in enumerate(["tidemill.toml", "variable.toml", "argument.toml"]):
        Path(name).write_text(f"[http]\nport = {1001 + number}")
    environ = {"TIDEMILL_CONFIG": "variable.toml"}
    assert read_settings(environ=environ).http.port == 1002
    assert read_settings(Path("argument.toml"), environ).http.port == 1003


def test_a_named_file_that_is_missing_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: there is no such file: check --config or TIDEMILL_CONFIG"):
        read_settings(environ={"TIDEMILL_CONFIG": "gone.toml"})


@pytest.mark.parametrize(
    ("content", "told"), [(b"a = ", "is not TOML"), (b"a = '\xff'", "cannot be read"), (b"a = 1\na = 2", "is not TOML")]
)
def test_a_file_that_cannot_be_parsed_is_named(content: bytes, told: str) -> None:
    Path("tidemill.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=f"tidemill.toml: {told}"):
        read_settings(environ={})


def test_a_folder_instead_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(tmp_path, {})


# What is wrong, where, and what to write instead.


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[http]\nprot = 1", "mill.toml: http.prot is not a setting: did you mean http.port?"),
        ("pipeline = []", "mill.toml: pipeline is not a setting: did you mean pipelines?"),
        ("port = 1", "mill.toml: port is not a setting: did you mean http.port?"),
        ("[kafka]\nzzz = 1", "mill.toml: kafka.zzz is not a setting: expected one of kafka.bootstrap_servers, "),
        ("[htpt]\nport = 1", "mill.toml: htpt is not a section: did you mean http?"),
        ("http = 3", "mill.toml: http is a section: write [http] above its keys"),
        ("[http]\nport = 'eighty'", "mill.toml: http.port = 'eighty': expected a whole number from 0 to 65535"),
        ("[http]\nport = true", "mill.toml: http.port = True: expected a whole number"),
        ("[http]\nport = 65536", "http.port = 65536: expected a whole number from 0 to 65535"),
        ("[http]\nport = 80.5", "http.port = 80.5: expected a whole number"),
        ("[http]\nhost = ''", "http.host = '': expected text that is not empty"),
        ("[executor]\nlease_s = nan", "executor.lease_s = nan: expected a number of seconds from 1 to 3600"),
        ("[executor]\nlease_s = 0.5", "expected a number of seconds from 1 to 3600"),
        ("[database]\nmigrate = 'perhaps'", "database.migrate = 'perhaps': expected true or false"),
        ("roles = ['executer']", "roles = ['executer']: expected one of api, triggers, executor"),
        ("roles = []", "roles = []: expected at least one"),
        ("pipelines = 3", "pipelines = 3: expected a list"),
        ("pipelines = ['flights']", "pipelines = ['flights']: expected package.module:name"),
        ("[kafka]\nbootstrap_servers = 'broker'", "kafka.bootstrap_servers = 'broker': expected host:port"),
        ("[kafka]\nbootstrap_servers = 'b:99999'", "expected host:port"),
        ("[artifacts]\nurl = '/var/lib/mill'", "artifacts.url = '/var/lib/mill': expected a URL such as file:///"),
        ("[artifacts]\nurl = 'file://var/lib'", "expected an absolute file URL, with three slashes"),
        ("[artifacts]\nurl = 's3:///prefix'", "expected a bucket after s3://"),
        ("[client]\nurl = 'localhost:8400'", "client.url = 'localhost:8400': expected a URL such as http://"),
        ("[client]\nurl = 'http://[::1'", "expected a URL such as http://"),
        ("[database]\nurl = 'mysql://db/x'", "mill.toml: database.url: expected a URL such as postgresql://"),
        ("root = 'nowhere'", "nowhere: expected a folder that exists"),
    ],
)
def test_a_wrong_file_is_told_with_key_place_and_what_was_expected(text: str, told: str) -> None:
    assert told in mistake(text)


def test_an_unknown_variable_is_told_with_the_nearest_one() -> None:
    told = mistake(None, {"TIDEMILL_DATABSE_URL": "x"})
    assert told.startswith("environment: TIDEMILL_DATABSE_URL is not a setting: did you mean TIDEMILL_DATABASE_URL?")


def test_an_unknown_variable_counts_even_when_empty_and_others_are_left_alone() -> None:
    assert "TIDEMILL_XYZZY" in mistake(None, {"TIDEMILL_XYZZY": ""})
    assert read(None, {"TIDE": "1", "PGHOST": "db", "TIDEMILL_CONFIG": "", "TIDEMILL_FAULTS": ""}).http.port == 8400


def test_a_wrong_variable_and_a_wrong_flag_are_told_with_their_place() -> None:
    assert mistake(None, {"TIDEMILL_HTTP_PORT": "x"}).startswith("environment: TIDEMILL_HTTP_PORT = 'x': expected")
    assert mistake(http__port="x").startswith("command line: http.port = 'x': expected")
    assert "did you mean http.port?" in mistake(http__prt=1)


def test_all_mistakes_are_told_at_once() -> None:
    told = mistake("nope = 1\n[http]\nport = -1", {"TIDEMILL_EXECUTOR_THREADS": "0"}, log__level="loud")
    assert told.startswith("4 settings are wrong:\n")
    assert [name in told for name in ("nope", "http.port", "TIDEMILL_EXECUTOR_THREADS", "log.level")] == [True] * 4


def test_a_value_that_is_overruled_is_not_checked() -> None:
    assert read("[http]\nport = 'x'", {"TIDEMILL_HTTP_PORT": "1001"}).http.port == 1001


# Secrets.


CANARY = "hunter2"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{CANARY}@db:5432/mill",
        f"postgresql://me:{CANARY}/@x@db/mill?application_name=a@b",
        f"postgresql://db/mill?user=me&password={CANARY}",
        f"postgresql://db/mill?sslpassword={CANARY}&sslmode=require",
        f"postgresql://:{CANARY}@a:1,b:2/mill",
    ],
)
def test_the_password_of_the_database_is_never_shown(url: str) -> None:
    settings = read(None, {"TIDEMILL_DATABASE_URL": url})
    assert settings.database.url == url
    assert CANARY not in repr(settings)
    assert CANARY not in str(describe(settings))
    assert shown(settings)["database.url"][0].startswith("postgresql://")
    assert CANARY not in where(url)


def test_an_address_of_a_database_that_is_shown_says_where_it_is() -> None:
    assert where("postgresql://me:x@db:6432/mill?sslmode=require") == "db:6432/mill"
    assert where("postgresql:///mill?host=/run/postgresql") == "/run/postgresql:5432/mill"
    assert where(f"postgresql:///mill?user=me&password={CANARY}&host=db") == "db:5432/mill"
    assert where(f"postgresql:///mill?host=db&password={CANARY}") == "db:5432/mill"
    assert where("postgresql:///mill") == "localhost:5432/mill"


def test_no_secret_is_shown() -> None:
    environ = {"TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": "a:1", "TIDEMILL_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
    environ |= {"TIDEMILL_KAFKA_SASL_MECHANISM": "PLAIN", "TIDEMILL_KAFKA_SASL_USERNAME": "me"}
    environ |= {"TIDEMILL_KAFKA_SSL_CERTFILE": "cert.pem"}
    for key in ("kafka.sasl_password", "kafka.ssl_key_password", "http.api_token"):
        environ[KNOWN[key].env] = f"x://{CANARY}"
    settings = read(None, environ)
    assert settings.http.api_token == settings.kafka.sasl_password == f"x://{CANARY}"
    assert CANARY not in repr(settings)
    assert CANARY not in str(describe(settings))
    assert shown(settings)["http.api_token"] == (MASK, "TIDEMILL_API_TOKEN")


@pytest.mark.parametrize("key", [key for key, known in KNOWN.items() if known.about.secret])
def test_a_wrong_secret_is_told_without_its_value(key: str) -> None:
    section, _, name = key.partition(".")
    told = mistake(f"[{section}]\n{name} = ['{CANARY}']")
    assert key in told
    assert CANARY not in told


def told_of(text: str) -> str:
    try:
        return str(describe(read(text)))
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize("scheme", ["http", "ftp"])
@pytest.mark.parametrize("key", ["lifecycle.url", "oidc.issuer", "registry.url", "client.url"])
def test_a_wrong_address_is_told_without_what_is_secret_in_it(key: str, scheme: str) -> None:
    for url in (f"{scheme}://me:{CANARY}@away.example.com/x", f"{scheme}://away.example.com/x?token={CANARY}"):
        section, _, name = key.partition(".")
        assert CANARY not in told_of(f"[{section}]\n{name} = '{url}'")
    assert "lifecycle.url is http://me:****@away" in mistake(f"[lifecycle]\nurl = 'http://me:{CANARY}@away/x'")


def test_a_secret_may_stand_in_another_variable_or_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://me:secret@db/mill\n")
    text = f"[database]\nurl = 'file:{tmp_path}/url'\n[http]\napi_token = 'env:TIDEMILL_TOKEN_OF_OURS'"
    settings = read(text, {"TIDEMILL_TOKEN_OF_OURS": "abc"})
    assert settings.database.url == "postgresql://me:secret@db/mill"
    assert settings.http.api_token == "abc"
    assert shown(settings)["http.api_token"] == (MASK, "mill.toml, env:TIDEMILL_TOKEN_OF_OURS")
    assert shown(settings)["database.url"][1] == f"mill.toml, file:{tmp_path}/url"


def test_a_secret_that_is_not_where_it_should_be_is_told() -> None:
    assert "http.api_token: expected the variable NOPE to be set" in mistake("[http]\napi_token = 'env:NOPE'")
    assert "http.api_token: expected a readable file at /nope" in mistake("[http]\napi_token = 'file:/nope'")


def test_what_is_not_a_secret_is_not_fetched_from_elsewhere() -> None:
    assert read(None, {"TIDEMILL_KAFKA_GROUP_PREFIX": "env:HOME"}).kafka.group_prefix == "env:HOME"


# Settings that must go together.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "mill.example", "127.evil.example"])
def test_listening_beyond_this_machine_needs_a_token(host: str) -> None:
    told = mistake(http__host=host)
    assert host in told
    assert "set TIDEMILL_API_TOKEN to a long random text, or listen on 127.0.0.1" in told
    assert read(http__host=host, http__api_token="abc").http.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "localhost", "::1", "[::1]"])
def test_this_machine_alone_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert read(http__host=host).http.api_token is None


def test_a_proxy_may_be_trusted_only_where_tokens_are_asked_for() -> None:
    proxies = "10.0.0.5, 10.1.0.0/16, 2001:db8::/32"
    told = mistake(http__trusted_proxies=proxies)
    assert "http.trusted_proxies is set, but there is no http.api_token" in told
    assert read(http__trusted_proxies=proxies, http__api_token="abc").http.trusted_proxies == (
        *("10.0.0.5", "10.1.0.0/16", "2001:db8::/32"),
    )
    assert read().http.trusted_proxies == ()


@pytest.mark.parametrize("given", ["*", "proxy.example", "10.0.0.5/8", "10.0.0", "127.0.0.1:80"])
def test_a_trusted_proxy_is_an_address_or_a_network(given: str) -> None:
    assert "an address such as 10.0.0.5, or a network such as 10.0.0.0/8" in mistake(
        http__trusted_proxies=given, http__api_token="abc"
    )


def kafka(**changes: str) -> str:
    values = {"bootstrap_servers": "a:1"} | changes
    return "[kafka]\n" + "\n".join(f"{key} = '{value}'" for key, value in values.items() if value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sasl_username": "me"}, "kafka.sasl_username (TIDEMILL_KAFKA_SASL_USERNAME) is set, but"),
        ({"sasl_mechanism": "PLAIN"}, "make that SASL_SSL, or SASL_PLAINTEXT in a network you trust"),
        ({"security_protocol": "SSL", "sasl_password": "x"}, "is SSL: make that SASL_SSL"),
        ({"security_protocol": "SASL_SSL"}, "set kafka.sasl_mechanism (TIDEMILL_KAFKA_SASL_MECHANISM) to one of PLAIN"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_password": "x"},
            "is SCRAM-SHA-512: set kafka.sasl_username (TIDEMILL_KAFKA_SASL_USERNAME) too",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "me"},
            "set kafka.sasl_password (TIDEMILL_KAFKA_SASL_PASSWORD) too",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "set kafka.sasl_token_file"),
        (
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "OAUTHBEARER",
                "sasl_token_file": "t",
                "sasl_username": "me",
            },
            "OAUTHBEARER does not use it: remove it",
        ),
        ({"ssl_cafile": "ca.pem"}, "kafka.ssl_cafile (TIDEMILL_KAFKA_SSL_CAFILE) is set, but"),
        ({"security_protocol": "SSL", "ssl_keyfile": "key.pem"}, "set kafka.ssl_certfile"),
        ({"security_protocol": "SSL", "bootstrap_servers": ""}, "but no broker is set: set kafka.bootstrap_servers"),
        ({"security_protocol": "TLS"}, "expected one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"sasl_mechanism": "GSSAPI"}, "expected one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER"),
    ],
)
def test_kafka_security_that_does_not_go_together_is_told(changes: dict[str, str], told: str) -> None:
    assert told in mistake(kafka(**changes))


def test_kafka_security_that_goes_together_is_taken() -> None:
    changes = {"security_protocol": "sasl_ssl", "sasl_mechanism": "scram-sha-256"}
    settings = read(kafka(**changes, sasl_username="me", sasl_password="secret", ssl_cafile="ca.pem"))
    assert settings.kafka.security_protocol is SecurityProtocol.SASL_SSL
    assert settings.kafka.sasl_mechanism is SaslMechanism.SCRAM_SHA_256
    assert settings.kafka.ssl_cafile == settings.root / "ca.pem"


# The object and its table.


def test_settings_cannot_be_changed_and_travel_to_other_processes() -> None:
    settings = read()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.http.port = 1  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_every_setting_is_described_and_in_the_reference() -> None:
    assert [line.key for line in describe(read())] == list(KNOWN)
    assert all(f"| `{known.key}` | `{known.env}` |" in reference() for known in KNOWN.values())


def test_reading_settings_imports_nothing_slow() -> None:
    code = "import service.config, sys; service.config.read_settings(environ={}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    slow = {"asyncio", "pydantic", "aiokafka", "asyncpg", "typer", "rich", "ssl", "triggers", "stages"}
    assert slow.isdisjoint(loaded.split())
