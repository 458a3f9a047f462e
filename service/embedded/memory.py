"""How much memory there is for a server: the machine's, or what the container it runs in may have of it."""

from __future__ import annotations

import os
from pathlib import Path

MB = 1024 * 1024
# A quarter of the memory, says Postgres' manual; its own default at least, and at most what ten million runs need.
LEAST_MB, MOST_MB = 128, 2048
# Of control groups, version 2 and 1, as they are seen from within a container.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def shared_buffers() -> str:
    """The setting of this name, for a server that has the machine to share with a daemon."""
    return f"{min(max(_memory_bytes() // MB // 4, LEAST_MB), MOST_MB)}MB"


def _memory_bytes() -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = [limit.read_text().strip() for limit in LIMITS if limit.exists()]
    return min([machine, *(int(one) for one in told if one.isdigit())])
