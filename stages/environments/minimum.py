"""What an environment needs beside its lock so that `tidemill stage run` works in it, and nothing more."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from stages.artifacts import digest_of

# What the three packages import for one attempt; a test holds it equal to what they do import.
MINIMUM = (
    "annotated-doc",
    "annotated-types",
    "orjson",
    "pydantic",
    "pydantic-core",
    "shellingham",
    "typer",
    "typing-extensions",
    "typing-inspection",
)
OBJECT_STORES = ("obstore",)
FLOORS = ("service", "stages", "triggers")
ROOT = Path(__file__).parents[2]
# Imports what an attempt does; where it fails, a version in the lock does not go with ours.
TRIAL = (
    "import service.known_secrets, service.logs.masked, service.one_stage, service.remote_registry, "
    "stages.codecs.plain, stages.commands.telling, stages.workers.foreground; "
    "from service.cli.main import build_app; build_app()"
)
ENTRY = "from service.cli.main import main; main()"
_NOT_OURS = {"site-packages", "dist-packages"}


def wanted(*, object_store: bool) -> dict[str, str]:
    """The packages by name, with the daemon's own versions."""
    return {name: version(name) for name in (*MINIMUM, *(OBJECT_STORES if object_store else ()))}


def missing(environment: Path, packages: dict[str, str]) -> list[str]:
    """Those that are not installed in an environment, as requirements."""
    there = {_normal(one.name.partition("-")[0]) for one in environment.glob("lib/python*/site-packages/*.dist-info")}
    return [f"{name}=={version}" for name, version in packages.items() if _normal(name) not in there]


def import_path(folder: Path, spec: str) -> list[str]:
    """Where a child finds our three packages and the author's modules, without the daemon's other packages.

    Ours are links in a folder made below `folder`, since they may lie among the others; so is the author's package
    where it is installed.
    """
    packages = {name: ROOT / name for name in FLOORS}
    top = spec.partition(":")[0].partition(".")[0]
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    if _NOT_OURS.intersection(Path(file).parts):
        packages[top] = Path(file).parent if Path(file).name == "__init__.py" else Path(file)
    return [str(_linked(folder, packages)), *(entry for entry in sys.path if is_project(entry))]


def floors(folder: Path) -> Path:
    """A folder made below `folder` in which our three packages are found, and nothing else."""
    return _linked(folder, {name: ROOT / name for name in FLOORS})


def _linked(folder: Path, packages: dict[str, Path]) -> Path:
    links = folder / f"code-{digest_of(repr(sorted(packages.items())).encode())[:16]}"
    links.mkdir(parents=True, exist_ok=True)
    for package in packages.values():
        with suppress(FileExistsError):
            (links / package.name).symlink_to(package)
    return links


def is_project(entry: str) -> bool:
    """Whether an entry of the import path is neither Python's own nor a folder of installed packages."""
    path = Path(entry).resolve()
    own = (Path(sys.base_prefix) / "lib", Path(sys.prefix) / "lib")
    return path.is_dir() and not _NOT_OURS.intersection(path.parts) and not any(path.is_relative_to(one) for one in own)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
