"""What is asked of docker or podman beside running a stage: the image, stopping, and what dead daemons left."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import io
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from stages.commands.command import GRACE_S, Command
from stages.environments.make import may_pass
from stages.errors import NoEnvironment

CLIS = ("docker", "podman")
PULL_S = 1800.0
ASK_S = 30.0
OWNER, INSTALLATION = "tidemill.daemon", "tidemill.installation"


def find_cli(wanted: str | None) -> str:
    """The CLI that was set, or the first there is. Raises `NoEnvironment`."""
    names = CLIS if wanted is None else (wanted,)
    found = next((path for name in names if (path := shutil.which(name)) is not None), None)
    if found is None:
        raise NoEnvironment(
            f"no container engine: {' or '.join(names)} is not on the PATH; install docker or podman, or name its CLI "
            f"in TIDEMILL_EXECUTOR_CONTAINER_CLI"
        )
    return found


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine, by its CLI."""

    cli: str

    @property
    def is_podman(self) -> bool:
        """Podman maps users by itself."""
        return "podman" in Path(self.cli).name

    async def pull(self, image: str, say: Callable[[str], None]) -> None:
        """Have the image there. Raises `NoEnvironment`."""
        if (await self._ask("image", "inspect", "--format", "{{.Id}}", image))[0] == 0:
            return
        say(f"pulling {image}")
        code, said = await self._ask("pull", image, within_s=PULL_S, say=say)
        if code != 0:
            raise NoEnvironment(f"image {image} cannot be pulled: {said}", transient=code < 0 or may_pass(said))

    async def stop(self, name: str) -> None:
        """SIGTERM, SIGKILL by the engine after the grace, and nothing is left."""
        await self._ask("stop", "-t", f"{GRACE_S:g}", name)
        await self.remove(name)

    async def remove(self, name: str) -> None:
        """Kill what is left of it. Nothing happens where there is nothing."""
        await self._ask("rm", "--force", name)

    async def leftovers(self, installation: str, is_alive: Callable[[str], bool]) -> list[str]:
        """Containers of this installation whose daemons are not alive."""
        shown = f'{{{{.ID}}}} {{{{.Label "{OWNER}"}}}}'
        listing = ("ps", "--all", "--filter", f"label={INSTALLATION}={installation}", "--format", shown)
        code, said = await self._ask(*listing)
        pairs = [line.split() for line in said.splitlines()] if code == 0 else []
        return [pair[0] for pair in pairs if len(pair) == 2 and not is_alive(pair[1])]

    async def _ask(
        self, *arguments: str, within_s: float = ASK_S, say: Callable[[str], None] = lambda line: None
    ) -> tuple[int, str]:
        """Exit code, and what was printed. An engine that does not answer in time has failed."""
        lines: list[str] = []

        def tell(stream: str, line: str, size_bytes: int) -> None:
            lines.append(line)
            say(line)

        try:
            async with asyncio.timeout(within_s):
                code = await Command([self.cli, *arguments], tell).run()
        except TimeoutError:
            return -1, f"{Path(self.cli).name} {arguments[0]} did not answer within {within_s:g} s"
        return code, "\n".join(lines)


class Alive:
    """How daemons of one home tell each other that they live: each holds the lock of a file of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = uuid4().hex
        self._held: TextIO | None = None

    def begin(self) -> None:
        """Be alive until this process ends."""
        if self._held is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._held = (self._folder / self.name).open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX)

    def end(self) -> None:
        """Be alive no more."""
        if self._held is not None:
            self._held.close()
            self._held = None
            (self._folder / self.name).unlink(missing_ok=True)

    def is_alive(self, name: str) -> bool:
        """Whether a daemon lives, as far as can be known: one of another home is let be."""
        if name == self.name or Path(name).name != name:
            return True
        try:
            with (self._folder / name).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return True
        except BlockingIOError:
            return True
        return False

    def forget_the_dead(self) -> None:
        """Remove the files of daemons that are no more, once what they left is gone."""
        with suppress(FileNotFoundError):
            for file in self._folder.iterdir():
                if not self.is_alive(file.name):
                    file.unlink(missing_ok=True)


def limits(memory_bytes: int | None, cpus: float | None) -> Sequence[str]:
    """The engine's options for what a container may take."""
    memory = [] if memory_bytes is None else ["--memory", str(memory_bytes)]
    return [*memory, *([] if cpus is None else ["--cpus", f"{cpus:g}"])]


def mounted(source: Path, target: str) -> str:
    """A `--mount` option, which engines read as a line of CSV: a comma in a folder's name adds no option."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}"])
    return line.getvalue()
