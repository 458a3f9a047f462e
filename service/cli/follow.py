"""Watches a run until it is finished or waits for a person, and tells what happens in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from service import exits
from service.cli.hearing import Hearing

if TYPE_CHECKING:
    from service.client import Client

FINISHED = frozenset({"succeeded", "failed", "cancelled"})
SETTLED_STAGES = frozenset({"succeeded", "reused", "failed", "lost", "cancelled"})
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
PATIENCE_S = 60.0
"""How long a daemon may be away, restarting, before nobody waits for it any more."""

Run = Mapping[str, Any]
T = TypeVar("T")


def follow(client: Client, run_id: int, sleep: Callable[[float], None] = time.sleep) -> Iterator[Run]:
    """The run, again and again until it is settled. Raises `DaemonUnavailable` after `PATIENCE_S` without an answer."""
    hearing = Hearing(partial(client.news, run_id))
    pause_s = FIRST_PAUSE_S
    while True:
        run = patiently(partial(client.show, run_id), sleep)
        yield run
        if exit_code(run) is not None:
            return
        hearing.pause(pause_s)
        pause_s = min(pause_s * 1.3, LONGEST_PAUSE_S)


def exit_code(run: Run) -> int | None:
    """What a script should see: 0 succeeded, 1 failed or cancelled, 3 waits for a person. None: not settled yet."""
    if run["state"] in FINISHED:
        return exits.SUCCEEDED if run["state"] == "succeeded" else exits.FAILED
    return exits.WAITING if run["state"] == "waiting" and run["waiting_gates"] else None


def tries(run: Run) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Every attempt of the run, by stage and number, in the order of the stages."""
    return {(stage["name"], tried["attempt"]): tried for stage in run["stages"] for tried in stage["attempts"]}


def running(run: Run) -> str:
    """What it is doing, in a few words."""
    at_work = [f"{stage['name']}{_so_far(stage)}" for stage in run["stages"] if stage["state"] == "running"]
    return ", ".join(at_work) or run["waits_for"] or run["state"]


def _so_far(stage: Mapping[str, Any]) -> str:
    """How far its latest attempt says it is."""
    progress = stage["attempts"][-1]["progress"] if stage["attempts"] else None
    return f" {progress['fraction']:.0%} {progress['note']}".rstrip() if progress else ""


def patiently(ask: Callable[[], T], sleep: Callable[[float], None]) -> T:
    """An answer, asked for again while the daemon is away. Raises `DaemonUnavailable` after `PATIENCE_S`."""
    from service.client import ApiError, DaemonUnavailable

    waited_s = 0.0
    while True:
        try:
            return ask()
        except (ApiError, DaemonUnavailable) as error:
            if not error.transient or waited_s >= PATIENCE_S:
                raise
        sleep(LONGEST_PAUSE_S)
        waited_s += LONGEST_PAUSE_S
