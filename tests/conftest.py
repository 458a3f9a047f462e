"""A real Postgres and a real broker for every test that asks.

Each pytest process (each xdist worker) has its own embedded servers, started when first asked for and gone at its end,
even when it is killed. They are held in a loop of their own, so a test may use any loop it likes.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from service.embedded.postgres import EmbeddedPostgres
from service.settings import Broker
from tests import brokers

TEMPLATE = "template_migrated"
QUICK_FOLDER_BYTES = 2_000_000_000
T = TypeVar("T")
# How long an example takes tells how busy the machine is, not whether it is true.
settings.register_profile("tidemill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tidemill")
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kafka=apache` runs what is asked for on Apache Kafka."""
    parser.addoption("--kafka", choices=list(Broker), default=Broker.TANSU, help="the broker that the tests run on")


def pytest_configure(config: pytest.Config) -> None:
    """Tell everybody which broker it is."""
    brokers.choose(Broker(config.getoption("--kafka")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On Apache Kafka leave out what is about the faults of the other one."""
    if brokers.chosen() is Broker.APACHE:
        left_out = [item for item in items if item.get_closest_marker("only_tansu")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


class BackgroundLoop:
    """An event loop in a thread of its own: `run` works in plain tests and inside another loop alike."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="session-loop", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Block until `work` is done and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=100)

    def close(self) -> None:
        """End the loop and its thread."""
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="session")
def session_loop() -> Iterator[BackgroundLoop]:
    """The loop in which this session's servers are held."""
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def session_home() -> Iterator[Path]:
    """TIDEMILL_HOME of this session's servers."""
    with tempfile.TemporaryDirectory(prefix="tidemill-tests-", dir=_quick_folder()) as folder:
        yield Path(folder)


@pytest.fixture
def home() -> Iterator[Path]:
    """A TIDEMILL_HOME for a test that starts servers of its own."""
    with tempfile.TemporaryDirectory(prefix="tidemill-test-", dir=_quick_folder()) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def postgres(session_loop: BackgroundLoop, session_home: Path) -> Iterator[str]:
    """The DSN of a real Postgres; its database is empty. Tests want `database`."""
    server = EmbeddedPostgres(session_home)
    yield session_loop.run(server.start())
    session_loop.run(server.stop())


@pytest.fixture(scope="session")
def migrated_template(session_loop: BackgroundLoop, postgres: str) -> str:
    """The name of a database with all migrations applied and no rows."""
    from service.db.migrations import migrate

    session_loop.run(_execute(postgres, f"create database {TEMPLATE}"))
    session_loop.run(migrate(_dsn_of(postgres, TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def database(
    request: pytest.FixtureRequest, session_loop: BackgroundLoop, postgres: str, migrated_template: str
) -> Iterator[str]:
    """The DSN of a fresh, migrated database of this test's own. At the end its books are right."""
    name = f"test_{next(_numbers)}"
    session_loop.run(_execute(postgres, f"create database {name} template {migrated_template} strategy wal_log"))
    dsn = _dsn_of(postgres, name)
    yield dsn
    if not request.node.get_closest_marker("rows_by_hand"):
        assert session_loop.run(_breaches(dsn)) == []
    session_loop.run(_execute(postgres, f"drop database {name} with (force)"))


@pytest.fixture
def empty_database(session_loop: BackgroundLoop, postgres: str) -> Iterator[str]:
    """The DSN of a fresh database without our tables."""
    name = f"test_{next(_numbers)}"
    session_loop.run(_execute(postgres, f"create database {name} strategy wal_log"))
    yield _dsn_of(postgres, name)
    session_loop.run(_execute(postgres, f"drop database {name} with (force)"))


@pytest.fixture(scope="session")
def kafka(session_loop: BackgroundLoop, session_home: Path) -> Iterator[str]:
    """The bootstrap servers of a real broker."""
    server = session_loop.run(brokers.session_broker(session_home))
    yield session_loop.run(server.start())
    session_loop.run(server.stop())


@pytest.fixture
def make_topic(session_loop: BackgroundLoop, kafka: str) -> Callable[..., str]:
    """`make_topic(partitions=1)` creates a topic with a name nobody used and returns the name."""

    def make(partitions: int = 1, settings: dict[str, str] | None = None) -> str:
        name = f"topic-{next(_numbers)}"
        session_loop.run(_create_topic(kafka, name, partitions, settings))
        return name

    return make


@pytest.fixture
def topic(make_topic: Callable[..., str]) -> str:
    """The name of a fresh topic with one partition."""
    return make_topic()


def _quick_folder() -> str | None:
    """Where to keep data that lives for seconds: in memory if there is room, 2-10 times quicker for `database`."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > QUICK_FOLDER_BYTES else None


async def _breaches(dsn: str) -> list[str]:
    """What the ledger says of a database. Tests that write rows by hand are marked `rows_by_hand`."""
    from service.db.ledger import audit

    return [f"{kept.promise}: {breach}" async for kept in audit(dsn) for breach in kept.breaches]


def _dsn_of(server: str, name: str) -> str:
    return server.replace("/tidemill?", f"/{name}?", 1)


async def _execute(dsn: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _create_topic(bootstrap_servers: str, name: str, partitions: int, settings: dict[str, str] | None) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
    finally:
        await admin.close()
