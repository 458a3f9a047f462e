"""Starts a worker: `python .../stages/workers SOCKET LIFELINE`, two descriptors inherited from the daemon."""

from __future__ import annotations

import sys


def main() -> None:
    """Serve until the daemon says to stop, or is gone."""
    # Python put this folder first on the path, as for any script: its modules are no top-level modules.
    sys.path[0] = __file__.rpartition("/stages/workers/")[0]
    from stages.workers.worker import serve

    serve(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    main()
