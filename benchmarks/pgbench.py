"""One-row durable inserts by Postgres' own `pgbench`: what the disk and the server do without anything of ours."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import parse_qs, urlsplit

from benchmarks.ground import Ground
from service.embedded.postgres import packaged_programs

# The embedded server takes 100 connections.
MOST_CLIENTS = 90
TABLE = "create table if not exists bench_rows (id bigint, value text)"
INSERT = "insert into bench_rows values (:client_id, 'a value of some length, as a stage might leave it');\n"


async def inserts_per_s(here: Ground, clients: int, seconds: int) -> float:
    """Rows a second that `clients` connections insert, each in a transaction of its own."""
    clients = min(clients, MOST_CLIENTS)
    await here.execute(TABLE)
    script = here.folder / "insert.sql"
    await asyncio.to_thread(script.write_text, INSERT)
    parts = urlsplit(here.dsn)
    host = parse_qs(parts.query)["host"][0]
    process = await asyncio.create_subprocess_exec(
        *(str(packaged_programs() / "pgbench"), "-n", "-f", str(script), "-c", str(clients), "-j", "2"),
        *("-M", "prepared", "-T", str(seconds), "-h", host, "-U", parts.username or "", parts.path[1:]),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told, trouble = await process.communicate()
    rate = re.search(rb"tps = ([0-9.]+)", told)
    if rate is None:
        raise RuntimeError(f"pgbench did not say how fast it was: {trouble.decode()}")
    return float(rate[1])
