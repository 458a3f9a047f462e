"""What the image and the containers may do: as little as they need, and without a secret in any layer."""

from __future__ import annotations

import re
import shlex
from typing import Any

from tests.unit.test_outer_files import parsed_yaml, text

SERVICES: Any = parsed_yaml(text("docker-compose.yml"))["services"]
DOCKERFILE = text("Dockerfile").replace("\\\n", " ")
LAST = DOCKERFILE.rpartition("\nFROM ")[2]
SECRET = re.compile(r"password|secret|token|api_?key|private", re.I)


def test_no_container_may_gain_privileges_and_each_gives_its_own_up() -> None:
    for name, service in SERVICES.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert not {"privileged", "pid", "ipc", "network_mode", "devices", "user"} & set(service), name
        assert not any("docker.sock" in volume for volume in service["volumes"]), name
    assert [name for name, service in SERVICES.items() if "cap_add" in service] == ["postgres"]
    assert "SYS_ADMIN" not in SERVICES["postgres"]["cap_add"]


def test_tidemill_writes_to_its_volumes_only() -> None:
    assert SERVICES["tidemill"]["read_only"] == "true"
    assert SERVICES["tidemill"]["tmpfs"] == ["/tmp"]
    home = re.search(r"TIDEMILL_HOME=(\S+)", DOCKERFILE)
    assert home is not None
    assert f"tidemill:{home[1]}" in SERVICES["tidemill"]["volumes"]


def test_the_image_runs_as_a_user_who_is_not_root_and_owns_no_code() -> None:
    users = re.findall(r"^USER (\S+)", LAST, re.M)
    assert users[-1].isdigit()
    assert int(users[-1]) >= 10_000
    before = LAST[: LAST.index("\nUSER ")]
    assert before.count("COPY") == LAST.count("COPY") > 0
    assert "--chown" not in LAST
    assert "chmod" not in LAST


def test_no_secret_and_nothing_unexpected_gets_into_a_layer() -> None:
    named = [word.partition("=")[0] for line in DOCKERFILE.splitlines() if line.startswith(("ARG", "ENV"))
             for word in shlex.split(line)[1:]]  # fmt: skip
    assert named
    assert not [name for name in named if SECRET.search(name)]
    copied = [word for line in DOCKERFILE.splitlines() if line.startswith("COPY") and "--from" not in line
              for word in shlex.split(line)[1:-1]]  # fmt: skip
    assert "." not in copied
    assert not re.search(r"^ADD ", DOCKERFILE, re.M)
    ignored = text(".dockerignore").split()
    assert ignored[0] == "*"
    assert {one.removeprefix("!") for one in ignored if one.startswith("!")} == set(copied)
    assert {"**/.env*", "**/*.pem", "**/*.key"} <= set(ignored)


def test_secrets_of_compose_come_from_outside() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert not SECRET.search(name) or value.startswith("${"), name
