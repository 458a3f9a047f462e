"""What needs Apache Kafka itself: `make test-kafka`, or `pytest --kafka=apache`."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.embedded.apache_jars import Jars
from service.settings import Broker
from tests import brokers
from tests.conftest import BackgroundLoop


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """No Java is needed for the other tests."""
    return True if config.getoption("--kafka") != Broker.APACHE else None


@pytest.fixture(scope="session")
def jars(session_loop: BackgroundLoop) -> Jars:
    """Apache Kafka, fetched before the first test."""
    return session_loop.run(brokers.apache_jars())
