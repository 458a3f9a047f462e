"""The advice about TLS to Postgres can be followed: its certificate is verified, or nothing is said to it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from service.db.connect import OUTAGES, connect, open_pool
from service.errors import DatabaseUnavailable
from tests.broker.secured import PEM, server_context

ADDRESS = "postgresql://kim:secret@localhost:{port}/mill?sslmode=verify-full"


class Server:
    """Agrees to TLS as Postgres does, and hangs up once that stands; `heard` tells whether anything was said to it."""

    def __init__(self, certificate: str) -> None:
        self.heard: list[bool] = []
        self._tls = server_context(certificate)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        try:
            await writer.start_tls(self._tls)
            self.heard.append(bool(await reader.read(1)))
        except (ssl.SSLError, ConnectionError):
            self.heard.append(False)
        writer.close()


@pytest.mark.parametrize(
    ("certificate", "heard"), [("broker.pem", True), ("other.pem", False), ("stranger.pem", False)]
)
async def test_the_certificates_of_the_machine_are_those_that_are_trusted(
    certificate: str, heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM / "ca.pem"))
    listening = Server(certificate)
    server = await asyncio.start_server(listening, "localhost", 0)
    dsn = ADDRESS.format(port=server.sockets[0].getsockname()[1]) + "&sslrootcert=system"
    async with server:
        with pytest.raises(DatabaseUnavailable):
            await connect(dsn)
        pool = await open_pool(dsn, size=1)
        with pytest.raises(OUTAGES):
            await pool.fetch("select 1")
        pool.terminate()
    assert set(listening.heard) == {heard}


async def test_who_names_no_certificates_is_told_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatabaseUnavailable, match=r"certificates to trust to database\.url: sslrootcert=system"):
        await connect(ADDRESS.format(port=1))
