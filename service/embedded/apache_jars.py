"""Apache Kafka to embed: the Java that runs it, and its jars, from `KAFKA_HOME` or fetched once with Maven.

What Maven fetches is held against `apache-kafka.sha512`, jar by jar. Maven asks whom it is set up to ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import BrokerUnavailable
from stages.commands.command import Command

logger = logging.getLogger("tidemill")

FETCHED = (4, 4, 0)
LOWEST_KAFKA = (4, 0, 0)
LOWEST_JAVA = 17
FETCH_TIMEOUT_S = 600.0
_ASK_S = 30.0
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_SUMS = Path(__file__).with_name("apache-kafka.sha512")
_OTHERWISE = "leave out `--kafka apache` (or TIDEMILL_KAFKA_EMBEDDED), or set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS"

# Log4j's binding is what Kafka's own releases add to the jar's dependencies.
_WANTED = (
    ("org.apache.kafka", "kafka_2.13", ".".join(map(str, FETCHED))),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.5"),
)

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Jars:
    """An Apache Kafka in the folder `libs`, and the `java` to run it."""

    java: Path
    libs: Path
    version: Version

    @property
    def name(self) -> str:
        """How people call it."""
        return f"Apache Kafka {told(self.version)}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where the jars come from: they are in `libs`, or `mvn` has yet to fetch them to there."""

    java: Path
    libs: Path
    version: Version
    mvn: Path | None = None

    def __str__(self) -> str:
        how = f"which `mvn` is to fetch to {self.libs}" if self.mvn else f"from {self.libs}"
        return f"Apache Kafka {told(self.version)}, {how}"


def told(version: Version) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


async def find(folder: Path, environ: Mapping[str, str]) -> Source:
    """Look what is there; `folder` is where jars are fetched to. Raises `BrokerUnavailable`, which says what is not."""
    java = await _java(environ)
    if environ.get("KAFKA_HOME"):
        return _installed(java, Path(environ["KAFKA_HOME"]))
    libs = folder / f"libs-{told(FETCHED)}"
    if libs.is_dir():
        return Source(java, libs, FETCHED)
    mvn = shutil.which("mvn", path=environ.get("PATH"))
    if mvn is None:
        raise BrokerUnavailable(
            f"there is no Apache Kafka here: unpack one of its binary releases (version {told(LOWEST_KAFKA)} or later) "
            "and set KAFKA_HOME to the folder, or install Maven, with whose `mvn` it is fetched "
            f"({told(FETCHED)}, about 45 MB); or {_OTHERWISE}"
        )
    return Source(java, libs, FETCHED, Path(mvn))


async def provide(folder: Path, environ: Mapping[str, str]) -> Jars:
    """Find the jars, or fetch them. Raises `BrokerUnavailable`. Callers see to it that one does so at a time."""
    source = await find(folder, environ)
    if source.mvn is not None:
        await _fetch(source.mvn, source.libs, environ)
    return Jars(source.java, source.libs, source.version)


async def _java(environ: Mapping[str, str]) -> Path:
    home = environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else environ.get("PATH"))
    if found is None:
        where = f"in JAVA_HOME ({home})" if home else "on the PATH"
        raise BrokerUnavailable(
            f"Apache Kafka needs Java {LOWEST_JAVA} or later and there is no `java` {where}: install one "
            f"or set JAVA_HOME; or {_OTHERWISE}"
        )
    _, said = await _run([found, "-version"], environ, _ASK_S)
    version = re.search(r'version "(?:1\.)?(\d+)', " ".join(said))
    if version is None:
        raise BrokerUnavailable(f"`{found} -version` does not tell a version, but: {_told(said)}: set JAVA_HOME")
    if int(version[1]) < LOWEST_JAVA:
        raise BrokerUnavailable(
            f"Apache Kafka needs Java {LOWEST_JAVA} or later and {found} is Java {version[1]}: install a newer one "
            f"and set JAVA_HOME to it; or {_OTHERWISE}"
        )
    return Path(found)


def _installed(java: Path, home: Path) -> Source:
    libs = home.absolute() / "libs"
    found = [re.fullmatch(r"kafka_2\.\d+-(\d+)\.(\d+)\.(\d+)\.jar", path.name) for path in _jars(libs)]
    versions = [(int(match[1]), int(match[2]), int(match[3])) for match in found if match]
    if not versions:
        raise BrokerUnavailable(
            f"KAFKA_HOME is {home}, but there is no {libs}/kafka_2.13-*.jar: name the folder of an unpacked binary "
            f"release of Apache Kafka, or unset KAFKA_HOME"
        )
    version = max(versions)
    if version < LOWEST_KAFKA:
        raise BrokerUnavailable(
            f"KAFKA_HOME is {home}, which is Apache Kafka {told(version)}: name one of version "
            f"{told(LOWEST_KAFKA)} or later, or unset KAFKA_HOME"
        )
    return Source(java, libs, version)


async def _fetch(mvn: Path, libs: Path, environ: Mapping[str, str]) -> None:
    """Fetch to another name first, so that `libs` is complete and checked or not there."""
    logger.info("fetching Apache Kafka %s with %s, once", told(FETCHED), mvn)
    fresh = libs.with_name(f"{libs.name}.new")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    pom = fresh.with_name("pom.xml")
    pom.write_text(_pom(_WANTED), encoding="utf-8")
    command = [str(mvn), "-q", "-B", "-f", str(pom), _COPY, f"-DoutputDirectory={fresh}", "-DincludeScope=runtime"]
    code, said = await _run(command, environ, FETCH_TIMEOUT_S)
    if code != 0:
        raise BrokerUnavailable(
            f"`mvn` could not fetch Apache Kafka (exit code {code}): {_told(said)}: see `mvn -f {pom} {_COPY}`, "
            "or unpack a release and set KAFKA_HOME"
        )
    await asyncio.to_thread(_check, fresh)
    fresh.rename(libs)


def _check(libs: Path) -> None:
    """Hold every jar against what is pinned."""
    lines = _SUMS.read_text(encoding="utf-8").splitlines()
    pinned = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {path.name: hashlib.sha512(path.read_bytes()).hexdigest() for path in _jars(libs)}
    wrong = sorted(name for name in pinned.keys() | found.keys() if pinned.get(name) != found.get(name))
    if wrong:
        raise BrokerUnavailable(
            f"what `mvn` fetched to {libs} is not what is pinned in {_SUMS}: {', '.join(wrong)}: see where your Maven "
            "fetches from, or unpack a release that you trust and set KAFKA_HOME"
        )


def _pom(wanted: Iterable[Sequence[str]]) -> str:
    def of(group: str, artifact: str, version: str) -> str:
        return f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"

    needs = "\n".join(f"    <dependency>{of(*one)}</dependency>" for one in wanted)
    return (
        f"<project>\n  <modelVersion>4.0.0</modelVersion>\n  {of('tidemill', 'apache-kafka', '1')}\n"
        f"  <dependencies>\n{needs}\n  </dependencies>\n</project>\n"
    )


def _jars(libs: Path) -> list[Path]:
    return sorted(libs.glob("*.jar"))


async def _run(command: Sequence[str], environ: Mapping[str, str], timeout_s: float) -> tuple[int, Sequence[str]]:
    """The exit code of a command and the last lines it said. Raises `BrokerUnavailable` when it takes too long."""
    program = Command(command, environment=environ)
    try:
        async with asyncio.timeout(timeout_s):
            code = await program.run()
    except TimeoutError:
        raise BrokerUnavailable(f"`{' '.join(command)}` has not ended after {timeout_s:g} s") from None
    return code, [line.strip() for line in program.last if line.strip()]


def _told(said: Sequence[str]) -> str:
    return " | ".join(said[-3:]) or "it said nothing"
