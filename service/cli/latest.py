"""The latest runs, for a shell that completes their numbers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from service.errors import ServiceError

MOST = 50
# Whoever presses the key waits for it.
WITHIN_S = 0.5


def latest_runs(ctx: Any, incomplete: str) -> list[tuple[str, str]]:
    """Runs whose numbers begin so, the latest first, each with what tells it from others; none where no daemon answers
    at once.
    """
    found: list[dict[str, Any]] = []
    asking = threading.Thread(target=_ask, args=(ctx.params.get("config_file"), found), daemon=True)
    asking.start()
    asking.join(WITHIN_S)
    told = [(str(run["id"]), f"{run['pipeline']}, {run['state']}") for run in list(found)]
    return [one for one in told if one[0].startswith(incomplete)]


def _ask(config_file: Path | None, found: list[dict[str, Any]]) -> None:
    from service.cli.connection import open_client

    try:
        found += open_client(config_file, timeout_s=WITHIN_S).runs(limit=MOST)["runs"]
    except ServiceError:
        return
