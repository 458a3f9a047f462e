"""How long it takes to turn away what nobody may send: garbage to the hooks and the events of a running daemon."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import here_settings, start_daemon
from benchmarks.ground import ground
from benchmarks.tables import Column, Table
from service.settings import Role
from stages import Event, Pipeline, stage
from triggers.providers import Buildkite, CircleCI, Gitea, GitLab
from triggers.signatures import GitHub, StandardWebhooks
from triggers.webhook import Webhook

KEY = "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2trawo="
JSON = "Content-Type: application/json\r\n"
DIGEST = "0" * 64
LARGE = b'"' + b"x" * 1_000_000 + b'"'


@stage
async def nothing(event: Event) -> int:
    """Never run."""
    return 0


PIPELINE = Pipeline(
    "refusing",
    [nothing],
    on=[
        Webhook("open"),
        Webhook("github", verify=GitHub("s")),
        Webhook("gitlab", verify=GitLab(signing=KEY)),
        Webhook("gitea", verify=Gitea("s")),
        Webhook("circleci", verify=CircleCI("s")),
        Webhook("buildkite", verify=Buildkite(signing="s")),
        Webhook("standard", verify=StandardWebhooks(KEY)),
    ],
)
GARBAGE: Mapping[str, tuple[str, str, bytes]] = {
    "no signature": ("/hooks/github", JSON, b"{}"),
    "wrong signature": ("/hooks/github", f"{JSON}X-Hub-Signature-256: sha256={DIGEST}\r\n", b'{"a": 1}'),
    "wrong signature, 1 MB": ("/hooks/github", f"{JSON}X-Hub-Signature-256: sha256={DIGEST}\r\n", LARGE),
    "no signature, 1 MB": ("/hooks/github", JSON, LARGE),
    "wrong signature in a form": (
        "/hooks/gitea",
        f"Content-Type: application/x-www-form-urlencoded\r\nX-Gitea-Signature: {DIGEST}\r\n",
        b"payload=" + b"%7B%7D" * 1000,
    ),
    "stale": ("/hooks/standard", "webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,x\r\n", b"{}"),
    "not JSON": ("/hooks/open", JSON, b"{" * 1000),
    "too deep": ("/hooks/open", JSON, b"[" * 100_000),
    "no such hook": ("/hooks/none", JSON, b"{}"),
    "broken CloudEvent": (
        "/api/v1/events",
        "Content-Type: application/cloudevents+json\r\n",
        b'{"specversion": "1.0"}',
    ),
    "bad percent-encoding": (
        "/api/v1/events",
        "ce-id: %zz\r\nce-source: /a\r\nce-type: t\r\nce-specversion: 1.0\r\n",
        b"",
    ),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    requests: int = 2_000


async def run(size: Size) -> Sequence[Table]:
    """Of each kind of garbage the status, the median, the 99th percentile, and the CPU time of daemon and client
    together, in microseconds.
    """
    async with ground() as here, asyncio.TaskGroup() as tasks:
        daemon = await start_daemon(here_settings(here, Role.API), [PIPELINE], tasks)
        port = int(daemon.address.rpartition(":")[2])
        rows = await asyncio.to_thread(_measure, port, size.requests)
        daemon.stop()
    columns = [Column("status", "answer"), *(Column(f"{one}_us", f"{one} us") for one in ("p50", "p99", "cpu"))]
    return [Table("From the first byte sent to the answer, on one connection", columns, rows)]


def _measure(port: int, requests: int) -> list[dict[str, Any]]:
    rows = []
    for name, (path, headers, body) in GARBAGE.items():
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
            times, status, cpu_s = [], "", time.process_time()
            for _ in range(requests):
                begun = time.perf_counter()
                connection.sendall(head.encode() + body)
                answer = _answer(connection)
                times.append((time.perf_counter() - begun) * 1e6)
                status = answer[9:12].decode()
        percentiles = statistics.quantiles(times, n=100)
        cpu_us = (time.process_time() - cpu_s) / requests * 1e6
        figures = {"p50_us": percentiles[49], "p99_us": percentiles[98], "cpu_us": cpu_us}
        rows.append({"name": name, "status": status, **figures})
    return rows


def _answer(connection: socket.socket) -> bytes:
    """One whole answer: its head says how long its body is."""
    answer = b""
    while True:
        answer += connection.recv(65_536)
        head, found, body = answer.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return answer


BENCHMARK = Benchmark(
    order="c",
    says="How long it takes to turn away what nobody may send.",
    full=Size(),
    quick=Size(requests=20),
    measure=run,
)
