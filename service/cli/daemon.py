"""`tidemill up`, `serve` and `migrate`: run the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.options import ConfigFile

if TYPE_CHECKING:
    from service.settings import Settings

Pipelines = Annotated[
    list[str] | None,
    typer.Option("--pipeline", "-p", help="A pipeline to load, `package.module:name`; may be repeated."),
]
Broker = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        metavar="tansu|apache",
        help="Which broker to embed: Tansu, which forgets all when it stops, or Apache Kafka, which keeps it and needs "
        "Java 17. [default: tansu]",
    ),
]
Port = Annotated[int | None, typer.Option(help="Port of the HTTP API; 0 takes any free one.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(serve)
    app.command()(migrate)


def up(
    config_file: ConfigFile = None,
    pipeline: Pipelines = None,
    port: Port = None,
    kafka: Broker = None,
    feed: Annotated[
        str | None,
        typer.Option(help="A coroutine function `package.module:name(root, kafka)` to run beside the daemon."),
    ] = None,
) -> None:
    """Run everything in one process, with an embedded Postgres and broker where none is configured.

    Example: tidemill up --pipeline mypackage.pipelines:churn
    """
    from service.errors import ConfigError

    settings = _settings(config_file, pipeline, port, {"kafka.embedded": kafka} if kafka else None)
    if kafka and settings.kafka.bootstrap_servers:
        raise ConfigError(
            f"--kafka {kafka}: a broker is set already ({settings.kafka.bootstrap_servers}), so none is embedded: "
            "leave out --kafka, or unset kafka.bootstrap_servers (TIDEMILL_KAFKA_BOOTSTRAP_SERVERS)"
        )
    _serve(settings, embed=True, feed=feed)


def serve(
    config_file: ConfigFile = None,
    role: Annotated[
        list[str] | None, typer.Option(help="api, triggers or executor; may be repeated. Default: all three.")
    ] = None,
    pipeline: Pipelines = None,
    port: Port = None,
    migrate: Annotated[bool, typer.Option(help="Apply migrations first.")] = True,
) -> None:
    """Run a daemon on the Postgres and Kafka that are configured.

    Example: tidemill serve --role triggers --role executor
    """
    flags: dict[str, Any] = {} if migrate else {"database.migrate": "false"}
    if role:
        flags["roles"] = ",".join(role)
    _serve(_settings(config_file, pipeline, port, flags), embed=False, feed=None)


def migrate(config_file: ConfigFile = None) -> None:
    """Bring the database up to this version. Safe to run again, and by many at once.

    Example: tidemill migrate
    """
    import asyncio

    from service.db import migrations
    from service.errors import ConfigError

    settings = _settings(config_file, None, None)
    if settings.database.url is None:
        raise ConfigError("no database is set: set TIDEMILL_DATABASE_URL")
    applied = asyncio.run(migrations.migrate(settings.database.url))
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: the database is up to date")


def _settings(
    config_file: Path | None, pipeline: list[str] | None, port: int | None, flags: dict[str, Any] | None = None
) -> Settings:
    from service.config import read_settings

    flags = dict(flags or {})
    if pipeline:
        flags["pipelines"] = ",".join(pipeline)
    if port is not None:
        flags["http.port"] = str(port)
    return read_settings(config_file, overrides=flags)


def _serve(settings: Settings, *, embed: bool, feed: str | None) -> None:
    """Run until SIGINT or SIGTERM; exit 0 after a clean stop."""
    import asyncio
    import os
    import sys
    import threading

    from service.logs.daemon import set_up_logs
    from service.up import serve as run_daemon
    from stages.runners.inline import STAGE_THREADS

    set_up_logs(settings.log)
    sys.path.insert(0, str(settings.root))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run_daemon(settings, embed=embed, feed=feed, say=typer.echo))
    if any(thread.name.startswith(STAGE_THREADS) for thread in threading.enumerate()):
        # A stage is still in its thread. Its run was given back; Python would wait for the thread before it exits.
        sys.stdout.flush()
        os._exit(0)


def _loop_factory() -> Any:
    import asyncio

    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
