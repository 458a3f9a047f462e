"""Whom Postgres runs as. It refuses to be root, so under a root daemon it runs as `nobody`.

`nobody` must reach the data and the programs though a parent such as /root may be closed to it. Opening parents to the
world is no answer; on Linux the server keeps one capability instead: to read and traverse everything (or, where a
container has only that, to bypass file permissions), and nothing else of root's rights.
"""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from service.embedded.child import Account
from service.errors import PostgresUnavailable

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
# Nobody's usual group is shared with every other daemon that runs as nobody; a number of our own is not.
PRIVATE_GID = 61_543


def choose_account(paths: Sequence[Path]) -> Account | None:
    """Whom to run as so that `paths` can be reached; None: the daemon's own user, who is not root.

    Raises `PostgresUnavailable` when there is nobody to run as.
    """
    if os.geteuid() != 0:
        _require_name(os.geteuid())
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise PostgresUnavailable(
            "Postgres refuses to run as root and this system has no user `nobody`: run tidemill as an ordinary user, "
            "or set TIDEMILL_DATABASE_URL to a Postgres of your own"
        ) from None
    closed = first_closed(paths)
    return Account(nobody.pw_uid, PRIVATE_GID, None if closed is None else _capability(closed))


def first_closed(paths: Sequence[Path]) -> Path | None:
    """The first of `paths` and their parents that not everybody may traverse, or None."""
    for path in (path.resolve() for path in paths):
        for folder in (*reversed(path.parents), path):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return folder
    return None


def _capability(closed: Path) -> int:
    held = _held_capabilities()
    for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        if held >> capability & 1:
            return capability
    raise PostgresUnavailable(
        f"Postgres refuses to run as root, and the user `nobody` cannot pass {closed}: run tidemill as an ordinary "
        f"user, move TIDEMILL_HOME and the installation out of {closed}, or set TIDEMILL_DATABASE_URL"
    )


def _held_capabilities() -> int:
    if sys.platform != "linux":
        return 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _require_name(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise PostgresUnavailable(
            f"Postgres needs a user with a name and user id {uid} has none: add it to /etc/passwd (in a container: "
            f"run as an existing user), or set TIDEMILL_DATABASE_URL to a Postgres of your own"
        ) from None
