"""The daemons: each is started again whenever it has died, and comes upon the faults that were planned for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.pipelines import NAMES
from tests.chaos.plan import Fault
from tests.fault.daemons import starting_daemon

LEASE_S = 2.0
# A process that has stopped at a point sleeps through its lease, and goes on.
STOPPED_S = 1.5 * LEASE_S
_LOOK_S = 0.1


class Member:
    """One daemon after the other, at one port."""

    def __init__(self, number: int, dsn: str, folder: Path, port: int, variables: Mapping[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.deaths: Counter[str] = Counter()
        self._dsn, self._root = dsn, folder
        self._home = folder / f"daemon-{number}"
        self.noted = folder / f"points-{number}"
        self._variables = {**variables, "TIDEMILL_HTTP_PORT": str(port)}
        self._process: asyncio.subprocess.Process | None = None
        self._next = ""
        self._over = False

    async def live(self) -> None:
        """Until `end`."""
        self._home.mkdir()
        while not self._over:
            faults, self._next = self._next, ""
            await self._life(faults)
            await asyncio.sleep(_LOOK_S)

    async def _life(self, faults: str) -> None:
        pipelines = [f"tests.chaos.pipelines:{name}" for name in NAMES]
        variables = {
            **self._variables,
            "TIDEMILL_ROOT": str(self._root),
            "TIDEMILL_FAULTS": f"*=note:{self.noted},{faults}",
        }
        roles = "api,triggers,executor"
        async with starting_daemon(self._dsn, self._home, *pipelines, roles=roles, **variables) as process:
            self._process = process
            try:
                await self._until_dead(process)
            finally:
                self._process = None

    async def _until_dead(self, process: asyncio.subprocess.Process) -> None:
        stopped_s = 0.0
        while process.returncode is None:
            stopped_s = stopped_s + _LOOK_S if _is_stopped(process.pid) else 0.0
            if stopped_s > STOPPED_S:
                self.signal(signal.SIGCONT)
            await asyncio.sleep(_LOOK_S)
        self.deaths[f"ended with {process.returncode}"] += 1

    def signal(self, number: signal.Signals) -> None:
        """Send it, where there is a process to take it."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def suffer(self, fault: Fault) -> None:
        """One of the faults of a daemon. What happens at a point happens to its next life, which begins now."""
        match fault.kind:
            case "leave":
                self.signal(signal.SIGTERM)
            case "pause":
                self.signal(signal.SIGSTOP)
            case "kill":
                self.signal(signal.SIGKILL)
            case _:
                action = fault.kind.removesuffix(" at") + (f":{fault.seconds:.2f}" if fault.seconds else "")
                self._next = f"{fault.point}={action}@{fault.nth}"
                self.signal(signal.SIGKILL)

    def end(self) -> None:
        """No further life."""
        self._over = True
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False
