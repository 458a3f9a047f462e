"""Makes environments out of lock files: once for each, whichever process asks first."""

from __future__ import annotations

import asyncio
import fcntl
import os
import platform
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stages.commands.command import Command
from stages.digests import digest_text
from stages.environments import minimum, recipes
from stages.environments.lock import PROJECT, WITH_PROJECT, Format, format_of
from stages.environments.recipes import Step
from stages.errors import NoEnvironment
from triggers import faults

MAKE_S = 1800.0
LOOK_S = 0.2
SHOWN_DIGEST = 16
LAYOUT = "1"
READY = ".tidemill-ready"
PLACE = re.compile(rf"[0-9a-f]{{{SHOWN_DIGEST}}}")
# An environment takes up to some gigabytes, and one that is missed is made anew.
UNUSED_S = 30 * 86_400.0
# What uv, Poetry, conda, docker and podman say when it is the network, or the engine, that fails.
NETWORK = re.compile(
    r"error sending request|dns error|connection (refused|reset|aborted|error|timed out|failed)|timed? ?out|"
    r"cannot connect to|failed to fetch|network|temporary failure|unreachable|"
    r"server error \(5\d\d|HTTP 5\d\d|too many requests",
    re.IGNORECASE,
)
REFUSED = re.compile(r"client error \(4(?!08|29)")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Environments:
    """All environments of an installation, each in a folder of its digest below `root`."""

    root: Path
    object_store: bool = False

    async def ready(self, lock: Path, say: Say) -> Path:
        """The folder of a lock's environment, made if it is not there yet; `say` hears how far that is.

        Raises `NoEnvironment`.
        """
        kind = format_of(lock)
        if kind is None:
            raise NoEnvironment(f"{lock.name} is no lock file by its name")
        try:
            place = self.root / self._digest(kind, lock)
            if _used(place):
                return place
            self.root.mkdir(parents=True, exist_ok=True)
            async with _alone(place.with_suffix(".lock"), say):
                if not (place / READY).exists():
                    await self._make(kind, lock, place, say)
            await asyncio.to_thread(_remove_unused, self.root)
        except OSError as error:
            raise NoEnvironment(f"the environment of {lock.name} cannot be made: {error}") from error
        return place

    def _digest(self, kind: Format, lock: Path) -> str:
        """Everything that makes one environment another."""
        project = lock.with_name(PROJECT).read_text(encoding="utf-8") if kind in WITH_PROJECT else ""
        ours = sorted(minimum.wanted(object_store=self.object_store).items())
        python = f"{platform.python_implementation()} {platform.python_version()} {platform.platform()}"
        return digest_text(LAYOUT, kind, lock.read_text(encoding="utf-8"), project, python, repr(ours))[:SHOWN_DIGEST]

    async def _make(self, kind: Format, lock: Path, place: Path, say: Say) -> None:
        began = time.monotonic()
        say(f"making the environment of {lock.name} ({place.name}): once, and kept")
        shutil.rmtree(place, ignore_errors=True)
        moves = kind is not Format.CONDA
        to = place.with_suffix(".new") if moves else place
        with _removed_unless_whole(to):
            try:
                async with asyncio.timeout(MAKE_S):
                    await faults.reach("environment.make")
                    await self._fill(kind, lock, to, say)
            except TimeoutError:
                raise NoEnvironment(f"{lock.name}: not made within {MAKE_S:g} s", transient=True) from None
            (to / READY).touch()
            if moves:
                to.rename(place)
        await faults.reach("environment.made")
        say(f"the environment of {lock.name} is ready after {time.monotonic() - began:.1f} s")

    async def _fill(self, kind: Format, lock: Path, to: Path, say: Say) -> None:
        for step in recipes.making(kind, lock, to):
            await _run(step, lock, say)
        ours = minimum.missing(to, minimum.wanted(object_store=self.object_store))
        if ours:
            await _run(recipes.installing(to, ours), lock, say)
        path = minimum.import_path(self.root, "")
        trial = Step([str(to / "bin/python"), "-c", minimum.TRIAL], {"PYTHONPATH": os.pathsep.join(path[:1])})
        try:
            await _run(trial, lock, say)
        except NoEnvironment as error:
            raise NoEnvironment(
                f"{lock.name}: a version in it does not go with what Tidemill needs to run a stage ({', '.join(ours)} "
                f"were added): {error}"
            ) from None


def _used(place: Path) -> bool:
    """Whether there is such an environment; that it is used now is noted by its time."""
    with suppress(OSError):
        os.utime(place / READY)
    return (place / READY).exists()


def _remove_unused(root: Path) -> None:
    """Remove environments that nobody used for long, and those that a process that was killed has left half made."""
    for folder in root.iterdir():
        name = folder.name.removesuffix(".new")
        if PLACE.fullmatch(name) and folder.is_dir():
            with suppress(OSError), (root / f"{name}.lock").open("w") as held:
                if _locked(held.fileno()) and _is_unused(folder):
                    # First of all: without it nobody takes what is left for whole.
                    (folder / READY).unlink(missing_ok=True)
                    shutil.rmtree(folder)


def _is_unused(folder: Path) -> bool:
    try:
        return time.time() - (folder / READY).stat().st_mtime > UNUSED_S
    except FileNotFoundError:
        return True


@asynccontextmanager
async def _alone(file: Path, say: Say) -> AsyncIterator[None]:
    """One process at a time, on this machine or on any that shares the folder and its locks."""
    with file.open("w") as held:
        waiting = False
        while not _locked(held.fileno()):
            if not waiting:
                say("another process is making this environment: waiting for it")
            waiting = True
            await asyncio.sleep(LOOK_S)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _removed_unless_whole(to: Path) -> Iterator[None]:
    shutil.rmtree(to, ignore_errors=True)
    try:
        yield
    finally:
        if not (to / READY).exists():
            shutil.rmtree(to, ignore_errors=True)


def may_pass(said: str) -> bool:
    """Whether what a tool said at its end sounds like trouble that passes."""
    return NETWORK.search(said) is not None and REFUSED.search(said) is None


async def _run(step: Step, lock: Path, say: Say) -> None:
    """Run one program. Raises `NoEnvironment` with its last words."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    command = Command(
        step.program,
        lambda stream, line, size_bytes: say(line),
        environment={**environment, "UV_NO_PROGRESS": "1", **step.environment},
        folder=lock.parent,
    )
    code = await command.run()
    if code != 0:
        said = "\n".join(command.last)
        tool = Path(step.program[0]).name
        raise NoEnvironment(
            f"{lock.name}: {tool} could not make its environment (exit code {code}): {said}",
            transient=code < 0 or may_pass(said),
        )
