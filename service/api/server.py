"""Serves the API by uvicorn, inside the daemon's own loop and under its own signals."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from service.api.access import Access
from service.api.auditing import Audit
from service.api.context import Context
from service.api.front import application
from service.api.intake import Intake
from service.api.meters import Meters
from service.api.predicted import Predicted
from service.api.routes import router
from service.api.serving import Serving
from service.api.sessions import Sessions
from service.api.unread import ReadingProtocol
from service.api.watched import Watched
from service.console.look import prepare
from service.db.links import known_key, new_key
from service.db.views import Views
from service.errors import ConfigError
from service.known_sessions import KnownSessions
from service.known_tokens import KnownTokens
from service.log_stream import LogStream
from service.logs.files import LogFiles
from service.logs.pages import LogPages
from service.oidc_settings import Oidc

if TYPE_CHECKING:
    from service.app import Daemon
    from service.oidc import Provider

CLOSE_TIMEOUT_S = 10
KEEP_ALIVE_S = 65
TICK_S = 1.0


class ApiServer:
    """`open`, then `run` in a task; `close` ends both."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        views = Views(daemon.reads)
        self._serving = Serving(daemon.registry, daemon.store, daemon.catalogue, views)
        self._predicted = Predicted(daemon.writer, daemon.clock)
        self._log_files = LogFiles(daemon.store)
        self._stream = LogStream(daemon.reads, daemon.news)
        http = daemon.settings.http
        secure = (http.public_url or "").startswith("https:")
        sessions = Sessions(http.api_token, daemon.ground.lending.installation, secure=secure)
        tokens = KnownTokens(daemon.reads, daemon.writer)
        ends = KnownSessions(daemon.reads)
        access = self._access = Access(http.api_token, sessions, tokens, ends, _provider(daemon.settings.oidc))
        self._watched = Watched(access)
        daemon.hear_tokens += [tokens.hear, ends.hear, self._watched.hear]
        context = Context(
            daemon=daemon,
            views=views,
            serving=self._serving,
            predicted=self._predicted,
            meters=Meters(),
            logs=LogPages(daemon.reads, self._log_files),
            stream=self._stream,
            sessions=sessions,
            access=access,
            watched=self._watched,
            tokens=tokens,
            ends=ends,
            audit=Audit(daemon.writer, daemon.reads.secrets),
        )
        daemon.hear_changes += [context.shared.forget, self._stream.change]
        self._sessions = sessions
        self._server = uvicorn.Server(
            _config(application(context, Intake(daemon), router(context)), http.trusted_proxies)
        )
        self._closing = asyncio.Event()
        self._ended = asyncio.Event()

    async def open(self) -> str:
        """Listen, and return the address to be reached at. Raises `ConfigError` when it cannot be had."""
        http = self._daemon.settings.http
        listening = _bind(http.host, http.port)
        if http.api_token is None and self._daemon.settings.oidc.issuer is not None:
            key = await self._key()
            self._sessions.signed_by(key)
            self._access.lends_by(key)
            self._daemon.ground.lending.key = key
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[listening])
        host = f"[{http.host.strip('[]')}]" if ":" in http.host else http.host
        return f"http://{host}:{listening.getsockname()[1]}"

    async def _key(self) -> bytes:
        """What every daemon of this installation knows: a browser signed in by one is signed in by all."""
        given = self._daemon.settings.http.link_key
        known = given.encode() if given else await known_key(self._daemon.reads)
        if known is None:
            [known] = await self._daemon.writer.submit(new_key())
        return known or b""

    async def run(self) -> None:
        """Serve until `close`, or until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.to_thread(prepare, self._daemon.settings.home / "pages"))
                reading = tasks.create_task(self._stream.run())
                watching = tasks.create_task(self._watched.run())
                await self._tick()
                await self._server.shutdown()
                reading.cancel()
                watching.cancel()
        finally:
            for server in self._server.servers:
                server.close()
            self._ended.set()
            self._predicted.write()
            await self._serving.close()
            self._log_files.close()

    async def _tick(self) -> None:
        """What uvicorn does ten times a second, once a second: that is how often the time of its answers changes."""
        while not await self._server.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._closing.wait()

    async def close(self) -> None:
        """Take no more connections, finish what is under way, and return; after a while whatever is still going on."""
        self._server.should_exit = True
        self._closing.set()
        # Streams wait for news; this tells them to look up and see that the daemon is stopping.
        self._daemon.news.hear("")
        self._daemon.audited.hear("")
        self._stream.wake()
        await self._ended.wait()


def _provider(settings: Oidc) -> Provider | None:
    if settings.issuer is None:
        return None
    from service.oidc import Provider

    return Provider(settings)


def written(proxies: Sequence[str]) -> list[str]:
    """Addresses as a socket for both versions of the protocol tells them, too."""
    old = [one for one in proxies if ":" not in one]
    mapped = [f"::ffff:{host}/{96 + int(bits or 32)}" for host, _, bits in (one.partition("/") for one in old)]
    return [*proxies, *mapped]


def _config(app: object, proxies: Sequence[str]) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=ReadingProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=written(proxies),
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
    )


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. SO_REUSEADDR, so that a restart need not wait for connections of the last one to time out."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"http.host is {host}: {error}: set TIDEMILL_HTTP_HOST to an address of this machine"
        ) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}: stop the process that has it,"
            " or set TIDEMILL_HTTP_PORT to another port (0 takes any free one)"
        ) from error
    return listening
