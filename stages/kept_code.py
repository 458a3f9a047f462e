"""The author's code of a pipeline as one archive: packed when it is loaded, unpacked to run that version again.

In it are the modules that the pipeline's own module imports, directly or not and wherever in them; all modules of the
package it lies in; and the lock files its stages name. Installed packages are not, nor is anything else.
"""

from __future__ import annotations

import ast
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from stages.base import Stage
from stages.digests import FRAMEWORK, is_authors
from stages.environments.lock import PROJECT, lock_file
from stages.errors import StageError
from stages.source import imports_by_name, imports_of, module_file

MOST_BYTES = 16 * 1024 * 1024
# Of a zip file no entry can be older; all are this old, so that the same files make the same archive.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_NEVER = {"__pycache__", "node_modules", "site-packages", "dist-packages"}


class NotKept(StageError):
    """The code of a pipeline cannot be kept. Says why."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file as bytes, and the top-level packages besides Python's own that the code in it imports.

    `unknown` are the places, `module:line`, where it imports modules by names that are worked out as it runs.
    """

    data: bytes
    files: int
    needs: tuple[str, ...]
    unknown: tuple[str, ...] = ()


def pack(spec: str, stages: Iterable[Stage]) -> Archive:
    """The code of the pipeline `module:name`. Reads files; imports nothing. Raises `NotKept`."""
    home = spec.partition(":")[0]
    modules, needs, unknown = _closure(home)
    if home not in modules:
        raise NotKept(f"module {home} has no source file")
    files = {_place(name, file): file for name, file in modules.items()}
    files |= _beside(home, modules)
    files |= _locks(stages, modules)
    return Archive(_zipped(files), len(files), needs, unknown)


def unpack(data: bytes, folder: Path) -> None:
    """Make `folder` hold the files of an archive, all or nothing. Safe to repeat, and by many at once."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                if not _is_inside(name):
                    raise NotKept(f"the archive has a file outside of it: {name}")
                file = made / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name))
        _put_in_place(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put_in_place(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _closure(home: str) -> tuple[dict[str, Path], tuple[str, ...], tuple[str, ...]]:
    """The author's modules that are reached from `home`, by name; the other packages they need; and where in them
    modules are imported whose names are worked out.
    """
    found: dict[str, Path] = {}
    unknown: list[str] = []
    needs: set[str] = set()
    todo = [home]
    while todo:
        name = todo.pop()
        if not name or name in found:
            continue
        if not is_authors(name, home):
            needs.add(name.partition(".")[0])
            continue
        file = module_file(name)
        if file is None or file.suffix != ".py" or not file.is_file():
            continue
        found[name] = file
        imported, worked_out = _imported(name, file)
        unknown += worked_out
        todo += [*_above(name), *imported]
    inside = {name.partition(".")[0] for name in found} | FRAMEWORK | set(sys.stdlib_module_names)
    return found, tuple(sorted(needs - inside)), tuple(sorted(unknown))


def _above(name: str) -> Iterator[str]:
    """The packages that a module lies in."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _imported(name: str, file: Path) -> tuple[Collection[str], list[str]]:
    """The modules that one imports, and the places where it imports what nobody can tell from its text."""
    try:
        tree = ast.parse(file.read_bytes())
        named, worked_out = imports_by_name(tree, name)
        return imports_of(tree, name) | named, [f"{name}:{line}" for line in worked_out]
    except (OSError, SyntaxError, ValueError) as error:
        raise NotKept(f"{file} cannot be read: {error}") from None


def _place(name: str, file: Path) -> str:
    path = name.replace(".", "/")
    return f"{path}/__init__.py" if file.name == "__init__.py" else f"{path}.py"


def _beside(home: str, modules: dict[str, Path]) -> dict[str, Path]:
    """All modules of the package that holds the pipeline: some may be imported by names worked out as it runs.

    A link to a file outside the project is left out.
    """
    package = home if modules[home].name == "__init__.py" else home.rpartition(".")[0]
    if not package:
        return {}
    folder = modules[home].parent
    project = folder.parents[package.count(".")].resolve()
    found = {}
    for file in folder.rglob("*.py"):
        inner = file.relative_to(folder)
        hidden = any(part in _NEVER or part.startswith(".") for part in inner.parts)
        if not hidden and file.resolve().is_relative_to(project):
            found[f"{package.replace('.', '/')}/{inner.as_posix()}"] = file
    return found


def _locks(stages: Iterable[Stage], modules: dict[str, Path]) -> dict[str, Path]:
    """The lock files that stages name, and the projects they lock, beside their modules."""
    found: dict[str, Path] = {}
    for stage in stages:
        module = stage.function.__module__
        if stage.environment is None or module not in modules or (lock := lock_file(stage)) is None:
            continue
        place = PurePosixPath(_place(module, modules[module])).parent / stage.environment
        if not _is_inside(str(place)):
            continue
        found[str(place)] = lock
        if (project := lock.with_name(PROJECT)).is_file():
            found[str(place.with_name(PROJECT))] = project
    return found


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _zipped(files: dict[str, Path]) -> bytes:
    size_bytes = sum(file.stat().st_size for file in files.values())
    if size_bytes > MOST_BYTES:
        raise NotKept(
            f"its code is {size_bytes} bytes in {len(files)} files, and at most {MOST_BYTES} are kept of a version"
        )
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name].read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()
