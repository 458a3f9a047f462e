"""The files around the code keep up with it: settings, set-up, containers, documents."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from service.config import OTHER_VARIABLES, read_settings, reference
from service.settings import KNOWN, Role

ROOT = Path(__file__).parents[2]
VARIABLES = {known.env for known in KNOWN.values()} | OTHER_VARIABLES
OUTER = ("Makefile", "Procfile", "Dockerfile", "docker-compose.yml", ".ci/run", "README.md")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def written() -> list[Path]:
    """Every file of ours in which a person reads the name of a variable."""
    found = [ROOT / name for name in OUTER]
    for folder in ("docs", "examples", "triggers", "stages", "service"):
        found += [path for path in (ROOT / folder).rglob("*") if path.suffix in {".md", ".toml", ".py"}]
    return found


# Compose, read by the few rules of YAML it uses.


def parsed_yaml(source: str) -> Any:
    lines = [
        (len(line) - len(line.lstrip()), line.strip())
        for line in source.splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    value, rest = block(lines)
    assert rest == []
    return value


def block(lines: list[tuple[int, str]]) -> tuple[Any, list[tuple[int, str]]]:
    """The mapping or list that begins with the first line, and the lines after it."""
    indent = lines[0][0]
    items: list[Any] = []
    mapping: dict[str, Any] = {}
    while lines and lines[0][0] == indent:
        line = lines.pop(0)[1]
        if line.startswith("- "):
            items.append(scalar(line[2:]))
            continue
        key, colon, value = line.partition(":")
        assert colon, f"neither a key nor an item: {line}"
        assert key not in mapping, f"{key} stands twice"
        mapping[key] = scalar(value.strip())
        if not value.strip() and lines and lines[0][0] > indent:
            mapping[key], lines = block(lines)
    assert not (items and mapping)
    return items or mapping, lines


def scalar(value: str) -> Any:
    return json.loads(value) if value[:1] in ('"', "[") else value or None


@pytest.fixture(scope="module")
def compose() -> Any:
    return parsed_yaml(text("docker-compose.yml"))


def test_compose_starts_three_services_each_with_a_kept_volume(compose: Any) -> None:
    assert set(compose["services"]) == {"postgres", "kafka", "tidemill"}
    for name, service in compose["services"].items():
        named = [mount.partition(":")[0] for mount in service["volumes"] if not mount.startswith(".")]
        assert named == [name]
    assert set(compose["volumes"]) == set(compose["services"])


def test_compose_waits_until_the_servers_are_healthy(compose: Any) -> None:
    needed = compose["services"]["tidemill"]["depends_on"]
    assert needed == {"postgres": {"condition": "service_healthy"}, "kafka": {"condition": "service_healthy"}}
    for name in needed:
        check = compose["services"][name]["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_compose_publishes_on_this_machine_only_and_demands_a_token(compose: Any) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert compose["services"]["tidemill"]["environment"]["TIDEMILL_API_TOKEN"].startswith("${TIDEMILL_API_TOKEN:?")


def test_what_compose_sets_is_a_configuration_that_starts(compose: Any) -> None:
    settings = read_settings(environ=container_environment(compose))
    assert settings.http.host == "0.0.0.0"
    assert settings.database.url == "postgresql://tidemill:tidemill@postgres:5432/tidemill"
    assert settings.kafka.bootstrap_servers == "kafka:9092"


def test_compose_gives_a_stopping_daemon_time_to_drain(compose: Any) -> None:
    grace_s = float(compose["services"]["tidemill"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > read_settings(environ=container_environment(compose)).executor.drain_s


def test_the_clients_of_compose_reach_a_listener_that_kafka_has(compose: Any) -> None:
    kafka = compose["services"]["kafka"]["environment"]
    listeners = dict(part.split("://:") for part in kafka["KAFKA_LISTENERS"].split(","))
    advertised = dict(part.split("://") for part in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    servers = compose["services"]["tidemill"]["environment"]["TIDEMILL_KAFKA_BOOTSTRAP_SERVERS"]
    assert servers == advertised[kafka["KAFKA_INTER_BROKER_LISTENER_NAME"]]
    assert all(address.endswith(f":{listeners[name]}") for name, address in advertised.items())
    protocols = dict(part.split(":") for part in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(protocols) == set(listeners)


def container_environment(compose: Any) -> dict[str, str]:
    """What the image and Compose set, with Compose's `${NAME:-default}` and `${NAME:?told}` filled in."""
    image = re.findall(r"^(?:ENV)?\s+(TIDEMILL_\w+)=(\S+)", text("Dockerfile"), flags=re.MULTILINE)
    values = {**dict(image), **compose["services"]["tidemill"]["environment"]}
    values["TIDEMILL_API_TOKEN"] = "token"
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in values.items()}


# Image, Procfile, Makefile.


def test_the_image_is_small_hashed_and_not_root() -> None:
    stages = re.split(r"^FROM ", text("Dockerfile"), flags=re.MULTILINE)[1:]
    built, final = stages
    assert built.count("--require-hashes") == 2
    assert final.startswith("python:3.13-slim")
    assert not re.search(r"\b(apt-get|gcc|uv|pip|hatchling)\b", final)
    assert re.search(r"^USER \d+$", final, flags=re.MULTILINE)
    assert "/livez" in re.findall(r"^HEALTHCHECK.*\n.*", final, flags=re.MULTILINE)[0]


def test_the_image_gets_no_file_it_is_not_built_from() -> None:
    let_in = [line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text("Dockerfile"), flags=re.MULTILINE)
    assert sorted(let_in) == sorted({name for line in copied for name in line.split()})
    assert "*" in text(".dockerignore").splitlines()


def test_the_procfile_starts_one_process_for_each_role() -> None:
    lines = dict(line.split(": ", 1) for line in text("Procfile").splitlines() if not line.startswith("#"))
    assert lines == {role.value: f"tidemill serve --role {role.value}" for role in Role}


def test_every_target_of_make_is_explained() -> None:
    phony = re.findall(r"^\.PHONY: (.+)$", text("Makefile"), flags=re.MULTILINE)[0].split()
    told = re.findall(r"^([a-z-]+):.*## .+$", text("Makefile"), flags=re.MULTILINE)
    assert sorted(phony) == sorted(told)


@pytest.mark.parametrize("name", ["Makefile", ".ci/run", "Dockerfile", "docker-compose.yml"])
def test_no_registry_is_named(name: str) -> None:
    assert not re.search(r"index-url|find-links|pypi|https?://(?!127\.0\.0\.1)", text(name))


# Settings as documents and examples name them.


def test_every_variable_that_is_named_is_one_that_is_read() -> None:
    name = re.compile(r"(?<!_)TIDEMILL_[A-Z0-9]+(?:_[A-Z0-9]+)*")
    named = {path: set(name.findall(path.read_text(encoding="utf-8"))) for path in written()}
    assert len(named) > len(OUTER)
    assert {path: names - VARIABLES for path, names in named.items() if not names <= VARIABLES} == {}


def test_the_table_of_settings_is_the_one_the_code_prints() -> None:
    table = re.search(r"<!-- settings.*?-->\n(.*?)<!-- end of settings -->", text("docs/operating.md"), re.DOTALL)
    assert table
    assert table[1].strip() == reference().strip()


def test_the_example_and_compose_load_pipelines_that_exist(compose: Any) -> None:
    settings = read_settings(ROOT / "examples/flights/tidemill.toml", {})
    assert settings.pipelines == read_settings(environ=container_environment(compose)).pipelines
    for pipeline in settings.pipelines:
        module, _, name = pipeline.partition(":")
        assert f"\n{name} = Pipeline(" in text(module.replace(".", "/") + ".py")


def test_every_decision_is_listed_and_complete() -> None:
    files = sorted((ROOT / "docs/decisions").glob("0*.md"))
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", text("docs/decisions/README.md"))
    assert [file.name for file in files] == listed
    for number, file in enumerate(files, 1):
        content = file.read_text(encoding="utf-8")
        assert content.startswith(f"# {number}. ")
        parts = ("Status", "Question", "Decision", "Why", "What it costs")
        assert [part for part in parts if f"**{part}.**" not in content] == []


def test_every_migration_has_a_number_of_its_own() -> None:
    numbers = [file.name[:4] for file in sorted((ROOT / "service/db/migrations").glob("*.sql"))]
    assert [number for number, following in pairwise(numbers) if number == following] == []


def test_links_between_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path}: {target}"
