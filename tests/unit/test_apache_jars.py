"""What is said when Apache Kafka is to be embedded and something that it needs is not there. No Java runs here."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.embedded import apache_jars
from service.embedded.apache import Peer, check_version, settings
from service.embedded.apache_jars import Jars, find, provide
from service.errors import BrokerUnavailable

SAYS = "echo 'openjdk version \"%s\" 2025-04-15' >&2"


def program(folder: Path, name: str, *lines: str) -> None:
    """A program that does what the lines of shell say."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    (folder / name).chmod(0o700)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Java 17 on the path, and nothing else."""
    program(tmp_path / "bin", "java", SAYS % "17.0.15")
    return {"PATH": str(tmp_path / "bin")}


@pytest.mark.parametrize("version", ["17", "17.0.15", "21.0.1+12-LTS", "25-ea"])
async def test_any_java_that_is_new_enough_will_do(tmp_path: Path, environ: dict[str, str], version: str) -> None:
    program(tmp_path / "bin", "java", SAYS % version)
    program(tmp_path / "bin", "mvn")
    assert (await find(tmp_path, environ)).java == tmp_path / "bin/java"


async def test_without_java_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="needs Java 17 or later and there is no `java` on the PATH: install"):
        await find(tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(BrokerUnavailable, match=r"there is no `java` in JAVA_HOME \(/nowhere\)"):
        await find(tmp_path, {"JAVA_HOME": "/nowhere"})


@pytest.mark.parametrize(("version", "major"), [("11.0.2", "11"), ("1.8.0_292", "8")])
async def test_a_java_that_is_too_old_is_named(
    tmp_path: Path, environ: dict[str, str], version: str, major: str
) -> None:
    program(tmp_path / "bin", "java", SAYS % version)
    with pytest.raises(BrokerUnavailable, match=rf"{tmp_path}/bin/java is Java {major}: install a newer one"):
        await find(tmp_path, environ)


async def test_a_java_that_is_none_is_told_with_what_it_said(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "bin", "java", "echo 'Unable to locate a Java Runtime.' >&2", "exit 1")
    with pytest.raises(BrokerUnavailable, match="does not tell a version, but: Unable to locate a Java Runtime"):
        await find(tmp_path, environ)


async def test_without_maven_and_without_a_kafka_both_ways_are_told(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(BrokerUnavailable, match=r"unpack one of its binary releases .* set KAFKA_HOME .* Maven"):
        await find(tmp_path, environ)


async def test_an_unpacked_release_is_used_where_it_is(tmp_path: Path, environ: dict[str, str]) -> None:
    libs = tmp_path / "kafka/libs"
    libs.mkdir(parents=True)
    environ["KAFKA_HOME"] = str(tmp_path / "kafka")
    with pytest.raises(BrokerUnavailable, match=r"there is no .*/kafka/libs/kafka_2\.13-\*\.jar: name the folder"):
        await find(tmp_path, environ)
    (libs / "kafka_2.13-3.9.1.jar").touch()
    with pytest.raises(BrokerUnavailable, match=r"is Apache Kafka 3\.9\.1: name one of version 4\.0\.0 or later"):
        await find(tmp_path, environ)
    (libs / "kafka_2.13-4.10.2.jar").touch()
    jars = await provide(tmp_path, environ)
    assert (jars.libs, jars.name) == (libs, "Apache Kafka 4.10.2")


async def test_what_maven_brings_is_held_against_what_is_pinned(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = tmp_path / "pinned"
    pinned.write_text(f"{'0' * 128}  missing.jar\n")
    monkeypatch.setattr(apache_jars, "_SUMS", pinned)
    bring = 'for word; do case "$word" in -DoutputDirectory=*) echo other > "${word#*=}/other.jar";; esac; done'
    program(tmp_path / "bin", "mvn", bring)
    home = tmp_path / "home"
    with pytest.raises(BrokerUnavailable, match=r"is not what is pinned in .*: missing\.jar, other\.jar"):
        await provide(home, environ)
    assert not list(home.glob("libs-*[0-9]"))
    digest = apache_jars.hashlib.sha512(b"other\n").hexdigest()
    pinned.write_text(f"{digest}  other.jar\n")
    for _ in range(2):
        jars = await provide(home, environ)
        assert [path.name for path in jars.libs.iterdir()] == ["other.jar"]
        # The second time it is there: nobody asks Maven.
        program(tmp_path / "bin", "mvn", "exit 1")


async def test_what_maven_could_not_do_is_told_in_its_words(tmp_path: Path, environ: dict[str, str]) -> None:
    program(tmp_path / "bin", "mvn", "echo '[ERROR] Unknown host'", "exit 1")
    with pytest.raises(BrokerUnavailable, match=r"exit code 1\): \[ERROR\] Unknown host: see `mvn -f .*KAFKA_HOME"):
        await provide(tmp_path / "home", environ)


def test_data_of_a_newer_kafka_is_left_alone(tmp_path: Path) -> None:
    jars = Jars(Path("java"), Path("/libs"), (4, 4, 0))
    for made_by in ("4.4.0", "4.3.9", "4.0.0"):
        (tmp_path / "formatted-by").write_text(f"{made_by}\n")
        check_version(tmp_path, jars)
    (tmp_path / "formatted-by").write_text("4.10.0\n")
    with pytest.raises(
        BrokerUnavailable, match=r"made by 4\.10\.0 and the Apache Kafka of /libs is 4\.4\.0: set KAFKA"
    ):
        check_version(tmp_path, jars)
    (tmp_path / "formatted-by").unlink()
    with pytest.raises(BrokerUnavailable, match="made by something else"):
        check_version(tmp_path, jars)


def test_every_address_of_a_cluster_is_of_the_loopback_interface() -> None:
    cluster = [Peer(node, 9000 + node, 9100 + node) for node in (1, 2, 3)]
    written = dict(line.split("=", 1) for line in settings(cluster[1], cluster).splitlines())
    assert written["listeners"] == "PLAINTEXT://127.0.0.1:9002,CONTROLLER://127.0.0.1:9102"
    assert written["controller.quorum.voters"] == "1@127.0.0.1:9101,2@127.0.0.1:9102,3@127.0.0.1:9103"
    assert (written["default.replication.factor"], written["min.insync.replicas"]) == ("3", "2")
