"""What a secured broker is to a client: TLS and SASL as Kafka speaks them, in front of the embedded broker.

The embedded broker speaks neither. This stands before it, does the handshakes on the real protocol's bytes, and from
then on passes on everything both ways. Its broker names the gate's own address, so a client never meets it unsecured.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import ssl
import struct
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from service.embedded.broker import free_port
from tests.brokers import RestartableBroker

PEM = Path(__file__).parent / "tls"
KEY_PASSWORD = "only-for-tests"
_METADATA, _API_VERSIONS, _HANDSHAKE, _AUTHENTICATE = 3, 18, 17, 36
_UNSUPPORTED, _REFUSED = 33, 58
_ITERATIONS = 4096


def server_context(certificate: str = "broker.pem", *, wants_client: bool = False) -> ssl.SSLContext:
    """TLS as a broker speaks it, with one of the certificates in `tls/`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM / certificate, password=KEY_PASSWORD)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(PEM / "ca.pem")
    return context


@dataclass
class Gate:
    """Stands before a broker. `users` log in with a password, by each of `mechanisms`, `token_ok` judges tokens.

    A connection ends after `session_s`, as brokers end the sessions whose time is over. With `challenges` a token is
    refused as Apache Kafka does it: by a challenge (RFC 7628 section 3.2.2), and to a client that goes on regardless it
    knows of no brokers.
    """

    broker: tuple[str, int]
    port: int
    tls: ssl.SSLContext | None = None
    mechanisms: tuple[str, ...] = ()
    users: dict[str, str] = field(default_factory=dict)
    token_ok: Callable[[str], bool] = lambda token: False
    session_s: float | None = None
    challenges: bool = False
    logins: list[str] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        if self.tls is None:
            await self._serve(reader, writer)
            return
        tls = _Tls(self.tls, reader, writer)
        with contextlib.suppress(ssl.SSLError, ConnectionError, ExceptionGroup):
            await tls.shake_hands()
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(tls.read_on())
                await self._serve(tls.plain, tls)
                reading.cancel()
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: _Sink) -> None:
        upstream: asyncio.StreamWriter | None = None
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, TimeoutError):
            up_reader, upstream = await asyncio.open_connection(*self.broker)
            if not self.mechanisms or await _Login(self, reader, writer, up_reader, upstream).done():
                async with asyncio.timeout(self.session_s):
                    await _both_ways(reader, writer, up_reader, upstream)
        for one in (writer, upstream):
            if one is not None:
                one.close()


class _Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...


class _Tls:
    """TLS over a connection. Unlike asyncio's it says goodbye to a client whose certificate it does not like."""

    def __init__(self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._coming, self._going, server_side=True)
        self._reader, self._writer = reader, writer
        self.plain = asyncio.StreamReader()

    async def shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
                return
            except ssl.SSLWantReadError:
                await self.drain()
                self._coming.write(await self._reader.read(1 << 16) or self._end())
            finally:
                await self.drain()

    async def read_on(self) -> None:
        while True:
            try:
                piece = self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                piece = await self._reader.read(1 << 16)
                self._coming.write(piece)
            else:
                self.plain.feed_data(piece)
            if not piece:
                self.plain.feed_eof()
                return

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._writer.write(self._going.read())

    async def drain(self) -> None:
        self._writer.write(self._going.read())
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    def _end(self) -> bytes:
        raise ConnectionResetError


async def _both_ways(
    reader: asyncio.StreamReader, writer: _Sink, up: asyncio.StreamReader, upstream: asyncio.StreamWriter
) -> None:
    async def pass_on(source: asyncio.StreamReader, sink: _Sink) -> None:
        while piece := await source.read(1 << 16):
            sink.write(piece)
            await sink.drain()
        raise ConnectionResetError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(pass_on(reader, upstream))
            group.create_task(pass_on(up, writer))


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _framed(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value.encode())) + value.encode()


@dataclass
class _Login:
    """One connection until it is logged in."""

    gate: Gate
    reader: asyncio.StreamReader
    writer: _Sink
    up: asyncio.StreamReader
    upstream: asyncio.StreamWriter
    scram: _Scram | None = None
    mechanism: str = ""

    async def done(self) -> bool:
        """Whether it is logged in. Whoever sends anything else first is cut off, as by a broker."""
        while True:
            frame = await _frame(self.reader)
            key, version, _, name = struct.unpack(">hhih", frame[:10])
            body = frame[10 + max(0, name) :]
            if key == _API_VERSIONS:
                answer = await self._versions(frame)
            elif key == _HANDSHAKE:
                answer = frame[4:8] + self._handshake(body)
            elif key == _AUTHENTICATE:
                code, told, said, logged_in = self._authenticate(body[4:])
                answer = frame[4:8] + struct.pack(">h", code) + (_text(told) if told else b"\xff\xff")
                answer += struct.pack(">i", len(said)) + said + (struct.pack(">q", 0) if version else b"")
            elif key == _METADATA and self.gate.challenges:
                answer = frame[4:8] + struct.pack(">iihii", 0, 0, -1, -1, 0)
            else:
                return False
            self.writer.write(_framed(answer))
            await self.writer.drain()
            if key == _AUTHENTICATE and (code or logged_in):
                return not code

    async def _versions(self, frame: bytes) -> bytes:
        self.upstream.write(_framed(frame))
        answer = await _frame(self.up)
        (count,) = struct.unpack(">i", answer[6:10])
        entries = [answer[10 + 6 * n : 16 + 6 * n] for n in range(count)]
        kept = [one for one in entries if struct.unpack(">h", one[:2])[0] not in (_HANDSHAKE, _AUTHENTICATE)]
        kept += [struct.pack(">hhh", key, 0, 1) for key in (_HANDSHAKE, _AUTHENTICATE)]
        return answer[:6] + struct.pack(">i", len(kept)) + b"".join(kept)

    def _handshake(self, body: bytes) -> bytes:
        self.mechanism = body[2:].decode()
        code = 0 if self.mechanism in self.gate.mechanisms else _UNSUPPORTED
        names = b"".join(map(_text, self.gate.mechanisms))
        return struct.pack(">hi", code, len(self.gate.mechanisms)) + names

    def _authenticate(self, said: bytes) -> tuple[int, str, bytes, bool]:
        """Error code, error message, what is answered, and whether that was the last word."""
        if self.mechanism == "PLAIN":
            _, user, password = said.decode().split("\0")
            if self.gate.users.get(user) != password:
                return _REFUSED, "Authentication failed: Invalid username or password", b"", False
            return self._welcome(user)
        if self.mechanism == "OAUTHBEARER":
            token = said.decode().split("Bearer ")[1].split("\x01")[0]
            if self.gate.token_ok(token):
                return self._welcome(token)
            if self.gate.challenges:
                return 0, "", b'{"status":"invalid_token"}', False
            return _REFUSED, "invalid_token", b"", False
        if self.scram is None:
            self.scram = _Scram(self.mechanism, self.gate.users)
            return 0, "", self.scram.first(said), False
        final = self.scram.final(said)
        if final is None:
            return _REFUSED, "Authentication failed during authentication due to invalid credentials", b"", False
        self._welcome(self.scram.user)
        return 0, "", final, True

    def _welcome(self, who: str) -> tuple[int, str, bytes, bool]:
        self.gate.logins.append(who)
        return 0, "", b"", True


class _Scram:
    """The server's side of RFC 5802."""

    def __init__(self, mechanism: str, users: dict[str, str]) -> None:
        self._hash = mechanism.removeprefix("SCRAM-SHA-").join(("sha", ""))
        self._users = users
        self._salt = os.urandom(16)

    def first(self, said: bytes) -> bytes:
        self._bare = said.decode().removeprefix("n,,")
        parts = dict(part.split("=", 1) for part in self._bare.split(","))
        self.user = parts["n"]
        salt = base64.b64encode(self._salt).decode()
        self._first = f"r={parts['r']}{uuid.uuid4().hex},s={salt},i={_ITERATIONS}"
        return self._first.encode()

    def final(self, said: bytes) -> bytes | None:
        without_proof, _, proof = said.decode().rpartition(",p=")
        password = self._users.get(self.user, "\0").encode()
        salted = hashlib.pbkdf2_hmac(self._hash, password, self._salt, _ITERATIONS)
        client_key = self._mac(salted, b"Client Key")
        told = ",".join((self._bare, self._first, without_proof)).encode()
        signature = self._mac(hashlib.new(self._hash, client_key).digest(), told)
        wanted = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        if not hmac.compare_digest(wanted, base64.b64decode(proof)):
            return None
        return b"v=" + base64.b64encode(self._mac(self._mac(salted, b"Server Key"), told))

    def _mac(self, key: bytes, said: bytes) -> bytes:
        return hmac.new(key, said, self._hash).digest()


@asynccontextmanager
async def gated_broker(home: Path) -> AsyncIterator[Gate]:
    """A broker with a gate before it, to be set up before anybody connects."""
    outer = free_port()
    broker = RestartableBroker(home, advertised=f"127.0.0.1:{outer}")
    host, _, port = broker.servers.partition(":")
    await broker.start()
    try:
        yield Gate((host, int(port)), outer)
    finally:
        await broker.stop()


@asynccontextmanager
async def opened(gate: Gate) -> AsyncIterator[str]:
    """Let clients in; yields the bootstrap servers."""
    server = await asyncio.start_server(gate.connected, "127.0.0.1", gate.port)
    try:
        yield f"127.0.0.1:{gate.port}"
    finally:
        server.close()
