"""What a stage declares of its packages: a lock file beside its module, or the image of a container."""

from __future__ import annotations

import enum
import inspect
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from stages.artifacts import digest_of
from stages.base import Stage

# No option of the engine that would run it.
IMAGE = re.compile(r"[^-@\s][^@\s]*@(sha256:[0-9a-f]{64})")


class Format(enum.StrEnum):
    """Who made a lock file, told by its name."""

    REQUIREMENTS = "requirements"
    UV = "uv"
    POETRY = "poetry"
    CONDA = "conda"


NAMES = {
    Format.REQUIREMENTS: ("requirements*.lock", "requirements*.txt"),
    Format.UV: ("uv.lock",),
    Format.POETRY: ("poetry.lock",),
    Format.CONDA: ("environment*.yml", "environment*.yaml"),
}
# Formats that say less without the project they lock.
WITH_PROJECT = {Format.UV, Format.POETRY}
PROJECT = "pyproject.toml"


def lock_file(stage: Stage) -> Path | None:
    """The lock a stage names, looked for beside its module and then in the working folder."""
    beside = Path(inspect.unwrap(stage.function).__code__.co_filename).parent
    return next((path for root in (beside, Path.cwd()) if (path := root / (stage.environment or "")).is_file()), None)


def format_of(lock: Path) -> Format | None:
    """The format of a lock file, None if it is none we know."""
    return next((one for one, names in NAMES.items() if any(fnmatch(lock.name, name) for name in names)), None)


def environment_digest(stage: Stage) -> str | None:
    """What the key of a stage's result holds of its packages: the digest of its image, or else of its lock."""
    if stage.image is not None:
        image = IMAGE.fullmatch(stage.image)
        return image[1] if image is not None else None
    file = lock_file(stage) if stage.environment is not None else None
    return digest_of(file.read_bytes()) if file is not None else None


def lock_problem(stage: Stage) -> str | None:
    """What is wrong with the environment or image a stage declares."""
    if stage.environment is not None:
        lock = lock_file(stage)
        if lock is None:
            return f"its environment {stage.environment!r} is no file"
        if format_of(lock) is None:
            known = ", ".join(name for names in NAMES.values() for name in names)
            return f"its environment {stage.environment!r} is no lock file by its name: use one of {known}"
        if format_of(lock) in WITH_PROJECT and not lock.with_name(PROJECT).is_file():
            return f"its environment {stage.environment!r} needs its {PROJECT} beside it"
    if stage.image is not None and IMAGE.fullmatch(stage.image) is None:
        name = stage.image.partition("@")[0]
        return (
            f"its image {stage.image!r} names no content: a tag may be another image tomorrow; write it as "
            f"NAME@sha256:DIGEST, which `docker image inspect --format '{{{{index .RepoDigests 0}}}}' {name}` prints "
            f"once it is pulled"
        )
    return None


def package_problems(stage: Stage, runner: str) -> Iterator[str]:
    """What makes no sense in the packages a stage declares and the runner it has."""
    problem = lock_problem(stage)
    if problem is not None:
        yield problem
    if stage.environment is not None and stage.image is not None:
        yield "it has an environment and an image: which is it?"
    for kind, given in (("environment", stage.environment), ("container", stage.image)):
        what = "lock file (environment=...)" if kind == "environment" else "image (image=...)"
        if given is None and runner == kind:
            yield f"runner={kind!r} needs to be told its {what}"
        if given is not None and runner != kind:
            yield f"runner={runner!r} does not use its {what}: leave out one of them"
