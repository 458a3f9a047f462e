"""The author's code as an archive: what is in it, and that it comes out as it went in."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages import kept_code
from stages.base import Stage, stage
from stages.kept_code import NotKept, pack, unpack
from stages.pipeline import load

Write = Callable[[str, str], Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes files of a project that is on the path; what was imported of it is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    yield write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"mason", "tools", "blocks"}:
            del sys.modules[name]


WORKED_OUT = "def lay(name):\n    importlib.import_module(name)\n"
TOOLS = ("__init__", "level", "saw")
LAY = "def lay():\n    import blocks.red.old\n"


def files_in(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_all_that_is_imported_anywhere_in_the_code_is_in_it_and_no_more(project: Write) -> None:
    project("mason/__init__.py", "")
    project(
        "mason/wall.py",
        "import os\nimport orjson\nfrom tools import level\n\n\n" + LAY,
    )
    project("mason/by_name.py", "pass\n")
    project("mason/.hidden/x.py", "pass\n")
    project("mason/notes.txt", "no code")
    project("tools/__init__.py", "")
    project("tools/level.py", "from stages import stage\n")
    project("tools/unused.py", "")
    project("blocks/red/__init__.py", "from . import fresh\n")
    project("blocks/red/fresh.py", "")
    project("blocks/red/old.py", "from .fresh import __name__ as name\n")
    project(".env", "TOKEN=1")
    archive = pack("mason.wall:line", [])
    assert set(files_in(archive.data)) == {
        "mason/__init__.py",
        "mason/wall.py",
        "mason/by_name.py",
        "tools/__init__.py",
        "tools/level.py",
        "blocks/red/__init__.py",
        "blocks/red/fresh.py",
        "blocks/red/old.py",
    }
    assert (archive.needs, archive.files) == (("orjson",), 8)
    assert pack("mason.wall:line", []) == archive


def test_modules_imported_by_their_names_are_in_it_and_names_that_are_worked_out_are_told(project: Write) -> None:
    project("mason.py", "import importlib\nimportlib.import_module('tools.level')\n__import__('blocks')\n" + WORKED_OUT)
    project("tools/__init__.py", "from importlib import import_module\nimport_module('.saw', 'tools')\n")
    project("tools/level.py", "")
    project("tools/saw.py", "")
    project("blocks.py", "")
    archive = pack("mason:line", [])
    assert set(files_in(archive.data)) == {"mason.py", "blocks.py", *(f"tools/{name}.py" for name in TOOLS)}
    assert archive.unknown == ("mason:5",)


def test_locks_that_stages_name_are_in_it_beside_their_modules(project: Write) -> None:
    project("mason.py", LOCKED)
    project("locks/requirements.lock", "six==1.17.0\n")
    pipeline = load("mason:line")
    found = files_in(pack("mason:line", [one.stage for one in pipeline.plan.stages.values()]).data)
    assert found == {"mason.py": LOCKED, "locks/requirements.lock": "six==1.17.0\n"}


LOCKED = """from stages import Pipeline, stage


@stage(environment="locks/requirements.lock")
def build() -> int:
    return 1


line = Pipeline("locked", [build])
"""


@stage
def declared() -> int:
    return 1


def test_what_is_too_large_or_cannot_be_read_is_refused_in_words(
    project: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    project("mason.py", "x = 1\n")
    stages: list[Stage] = [declared]
    with pytest.raises(NotKept, match="module blocks has no source file"):
        pack("blocks:line", stages)
    monkeypatch.setattr(kept_code, "MOST_BYTES", 5)
    with pytest.raises(NotKept, match="its code is 6 bytes in 1 files, and at most 5 are kept of a version"):
        pack("mason:line", stages)
    project("tools.py", "def (\n")
    with pytest.raises(NotKept, match=r"tools\.py cannot be read: invalid syntax"):
        pack("tools:line", stages)


def test_it_is_unpacked_whole_or_not_at_all(project: Write, tmp_path: Path) -> None:
    project("mason/__init__.py", "a = 1\n")
    data = pack("mason:line", []).data
    folder = tmp_path / "made" / "here"
    unpack(data, folder)
    unpack(b"not looked at: it is there", folder)
    assert (folder / "mason" / "__init__.py").read_text() == "a = 1\n"
    outside = io.BytesIO()
    with zipfile.ZipFile(outside, "w") as archive:
        archive.writestr("fine.py", "")
        archive.writestr("../evil.py", "")
    with pytest.raises(NotKept, match=r"a file outside of it: \.\./evil\.py"):
        unpack(outside.getvalue(), tmp_path / "made" / "there")
    assert [one.name for one in (tmp_path / "made").iterdir()] == ["here"]


def test_a_link_out_of_the_project_is_not_followed(project: Write, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.py"
    secret.write_text("TOKEN = 1\n")
    project("mason/__init__.py", "")
    home = project("mason/wall.py", "x = 1\n")
    (home.parent / "stolen.py").symlink_to(secret)
    inside = project("shared/level.py", "y = 1\n")
    (home.parent / "level.py").symlink_to(inside)
    assert set(files_in(pack("mason.wall:line", []).data)) == {
        *("mason/__init__.py", "mason/wall.py", "mason/level.py")
    }
