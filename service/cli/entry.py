"""Where `tidemill` begins. A CI job waits for `tidemill notify`, so that loads nothing of the other commands."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["notify"]:
        from service.notify.command import run
        from service.notify.options import parse

        sys.exit(run(parse(sys.argv[2:])))
    from service.cli.main import main as everything

    everything()
