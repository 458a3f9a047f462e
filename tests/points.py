"""Which tests reach the fault points that no storm meets: `python -m tests.points` runs them and looks.

Each file runs with `TIDEMILL_FAULTS=*=note:FILE`; exits with 1 where a point was not noted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

WHEN = ("commit", "committed")
# What is written by each, by the names of `service.fault_points.WRITES`.
WRITES: Mapping[str, Sequence[str]] = {
    "tests/db/test_api_keys.py": ("takekey", "keepanswer", "freekey"),
    "tests/db/test_audit.py": ("putaudit", "trimaudit"),
    "tests/db/test_backfills.py": ("putbackfill", "stepbackfill", "stopbackfill"),
    "tests/db/test_caused_runs.py": ("putcausing", "startchild"),
    "tests/db/test_fates.py": ("putpause", "liftpause"),
    "tests/db/test_gate_links.py": ("keepkey", "putlink"),
    "tests/db/test_limits.py": ("put_pools", "cancel", "lookup", "migration"),
    "tests/db/test_predictions.py": ("putpredictions", "remove_predictions"),
    "tests/db/test_process_runner.py": ("putcost",),
    "tests/db/test_progress.py": ("putprogress", "putloglines"),
    "tests/db/test_ended_sessions.py": ("endsessions",),
    "tests/db/test_replay_versions.py": ("forversion", "refusekept", "putfenced", "putreplay"),
    "tests/db/test_restored.py": ("settle_log",),
    "tests/db/test_resume.py": ("abandon", "resume"),
    "tests/db/test_resume_mapped.py": ("setaside",),
    "tests/db/test_retention.py": (
        *("mark_removed", "remove_runs", "remove_events", "remove_bodies", "notecleanup", "registerversion"),
    ),
    "tests/db/test_run_log.py": ("drop_log_part", "make_log_parts", "trim_log"),
    "tests/db/test_silence.py": ("watchtriggers",),
    "tests/db/test_stage_logs.py": ("putlogfile",),
    "tests/db/test_tokens.py": ("puttoken", "revoketoken", "usetoken"),
    "tests/db/test_votes.py": ("decidegate", "expiregate", "movealias"),
}
PLACES: Mapping[str, Sequence[str]] = {
    "tests/broker/test_dead_letters.py": ("letters.send", "letters.sent"),
    "tests/contract/test_stage_commands.py": ("command.start", "command.started"),
    "tests/contract/test_environments.py": ("environment.make", "environment.made"),
    "tests/db/test_process_runner.py": ("worker.start", "worker.started"),
    "tests/db/test_replay_versions.py": ("kept.start",),
    "tests/db/test_restored.py": ("backup.dumped",),
    "tests/fault/test_embedded_postgres.py": ("server.start", "server.started", "ps.start"),
    "tests/unit/test_schema_registry.py": ("protoc.start", "protoc.started"),
}


def wanted() -> dict[str, set[str]]:
    """The points that each file is to reach."""
    found = {
        file: {f"{name}.{when}" for name in names for when in ("commit", "committed")} for file, names in WRITES.items()
    }
    for file, places in PLACES.items():
        found.setdefault(file, set()).update(places)
    return found


def main() -> None:
    """Run them all."""
    missed = {file: missing for file, points in wanted().items() if (missing := points - reached(file))}
    for file, points in missed.items():
        print(f"{file} does not reach {', '.join(sorted(points))}")
    sys.exit(bool(missed))


def reached(file: str) -> set[str]:
    """The points that the tests of a file come upon. They must pass."""
    with tempfile.NamedTemporaryFile("r", prefix="tidemill-points-") as noted:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file]
        print(file, flush=True)
        subprocess.run(command, cwd=ROOT, env={**os.environ, "TIDEMILL_FAULTS": f"*=note:{noted.name}"}, check=True)
        return set(noted.read().split())


if __name__ == "__main__":
    main()
