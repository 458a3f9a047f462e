"""The container runner: each attempt in a container of the stage's own image, by the CLI of docker or podman."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from stages.call import Call
from stages.commands.attempt import SCRATCH, Place, Preparing, attempt_folder, child_environment
from stages.commands.attempt import make as make_attempt
from stages.containers.engine import INSTALLATION, OWNER, Alive, Engine, find_cli, limits, mounted
from stages.environments.lock import lock_problem
from stages.environments.make import may_pass
from stages.errors import NoEnvironment, NoWorker
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, record_of
from stages.plan import PlanStage
from stages.runners.base import RunnerTools, out_of_reach

logger = logging.getLogger("tidemill.executor")

CALL_FOLDER, ARTIFACTS_FOLDER = "/tidemill/call", "/tidemill/artifacts"
MOST_PROCESSES = 4096
# How a container reaches its host, and what a daemon's own address may look like.
HOST = "host.docker.internal"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
# Credentials and endpoints of object stores: handed on by name, so that no value is on a command line.
STORE_VARIABLES = ("AWS_", "AZURE_", "GOOGLE_")
LENT_VARIABLES = ("TIDEMILL_URL", "TIDEMILL_API_TOKEN")
ENGINE_FAILED, KILLED = 125, 137


class ContainerRunner:
    """Up to `RunnerTools.threads` at once. A daemon that dies leaves containers, which the next one removes."""

    def __init__(self, tools: RunnerTools) -> None:
        api = tools.api
        self._tools = replace(tools, api=lambda: _seen_from_inside(api()))
        self._slots = asyncio.Semaphore(tools.threads)
        self._alive = Alive((tools.home or Path(".tidemill").resolve()) / "containers")

    async def prepare(self, stages: Sequence[PlanStage]) -> None:
        """See `OpenRunner`. Removes the containers of daemons that are no more."""
        if not stages:
            return
        try:
            engine = Engine(find_cli(self._tools.container_cli))
        except NoEnvironment as error:
            logger.warning("stages that run in containers will fail: %s", error)
            return
        for name in await engine.leftovers(self._tools.installation, self._alive.is_alive):
            logger.warning("removing container %s, which a daemon left that is no more", name)
            await engine.remove(name)
        self._alive.forget_the_dead()

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """See `Runner`. The time of an attempt counts from when its container has loaded its pipeline."""
        image = str(stage.stage.image)
        refusal = out_of_reach(stage, self._tools) or _refusal(stage)
        if refusal is not None:
            return Failed(record_of(NoWorker(refusal)))
        async with self._slots:
            try:
                engine = Engine(find_cli(self._tools.container_cli))
                await engine.pull(image, Preparing(stage, call, self._tools).say)
            except NoEnvironment as error:
                return Failed(record_of(error))
            self._alive.begin()
            with attempt_folder() as folder:
                return await self._attempt(engine, stage, call, folder)

    async def close(self) -> None:
        """See `Runner`. The containers end with the attempts that wait for them."""
        self._alive.end()

    async def _attempt(self, engine: Engine, stage: PlanStage, call: Call, folder: Path) -> Outcome:
        name = f"tidemill-{call.run_id}-{stage.name}-{call.attempt}-{uuid4().hex[:8]}"
        place = self._place(engine, stage, call, name, folder)
        outcome = await make_attempt(stage, call, self._tools, folder, place)
        if isinstance(outcome, Lost):
            # It may be that only the CLI was lost.
            await engine.remove(name)
        return outcome

    def _place(self, engine: Engine, stage: PlanStage, call: Call, name: str, folder: Path) -> Place:
        folders = [(folder, CALL_FOLDER)]
        store_url = str(self._tools.store_url)
        if store_url.startswith("file:"):
            folders.append((Path(unquote(urlsplit(store_url).path)), ARTIFACTS_FOLDER))
            store_url = f"file://{ARTIFACTS_FOLDER}"
        variables = child_environment(self._tools, store_url)
        labels = {
            "tidemill.run": call.run_id,
            "tidemill.stage": stage.name,
            "tidemill.attempt": call.attempt,
            INSTALLATION: self._tools.installation,
            OWNER: self._alive.name,
        }
        options = ["--rm", "--name", name, "--entrypoint", "tidemill", "--pids-limit", str(MOST_PROCESSES)]
        options += ["--security-opt", "no-new-privileges"]
        options += [*limits(stage.stage.memory_bytes, stage.stage.resources.get("cpu")), *_user(engine)]
        for label, value in labels.items():
            options += ["--label", f"{label}={value}"]
        for source, target in folders:
            options += ["--mount", mounted(source, target)]
        options += [*_handed_on(variables), "--env", f"TMPDIR={CALL_FOLDER}/{SCRATCH}"]
        return Place(
            before=[engine.cli, "run", *options, str(stage.stage.image)],
            environment=variables,
            sees=CALL_FOLDER,
            ask=partial(engine.stop, name),
            explain=_explain,
        )


def _refusal(stage: PlanStage) -> str | None:
    if stage.stage.image is None:
        return f"stage {stage.name!r} names no image: @stage(image='NAME@sha256:DIGEST', ...)"
    problem = lock_problem(stage.stage)
    return f"stage {stage.name!r}: {problem}" if problem is not None else None


def _handed_on(variables: dict[str, str]) -> list[str]:
    """Options for the variables a container gets."""
    names = [name for name in variables if name.startswith(STORE_VARIABLES) or name in LENT_VARIABLES]
    options = ["--env", f"TIDEMILL_ARTIFACTS={variables['TIDEMILL_ARTIFACTS']}"]
    for name in sorted(names):
        options += ["--env", name]
    if HOST in variables.get("TIDEMILL_URL", ""):
        options += ["--add-host", f"{HOST}:host-gateway"]
    return options


def _user(engine: Engine) -> list[str]:
    """With docker, artifacts belong to the daemon's user and not to root."""
    if engine.is_podman or os.getuid() == 0:
        return []
    return ["--user", f"{os.getuid()}:{os.getgid()}", "--env", f"HOME={CALL_FOLDER}/{SCRATCH}"]


def _seen_from_inside(api: tuple[str, str | None] | None) -> tuple[str, str | None] | None:
    """The daemon's address as a container sees it: loopback would be the container itself."""
    if api is None:
        return None
    url, token = api
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        return api
    port = "" if parts.port is None else f":{parts.port}"
    return parts._replace(netloc=f"{HOST}{port}").geturl(), token


def _explain(code: int, said: str) -> Outcome | None:
    """What the exit codes of `run` mean that are the engine's own."""
    if code == KILLED:
        return Lost("the container was killed: out of memory, or by hand")
    if code == ENGINE_FAILED:
        return Failed(ErrorRecord("stages.errors.NoEnvironment", said, transient=may_pass(said)))
    if code in (126, 127):
        hint = "; install Tidemill in the image, so that it has the command `tidemill`"
        return Failed(ErrorRecord("stages.errors.NoEnvironment", f"{said}{hint}"))
    return None


def make(tools: RunnerTools) -> ContainerRunner:
    """The runner under the name of this module."""
    return ContainerRunner(tools)
