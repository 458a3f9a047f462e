"""How `stage run` treats its own process: what is on standard output, and when it ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import typer

from service.cli import exits

FAREWELL_S = 0.5


@contextmanager
def only_on_stderr() -> Iterator[None]:
    """Standard output belongs to the result: what a stage or a program it starts prints there goes to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def prompt_exit() -> Iterator[None]:
    """Exit without waiting for a stage that ran out of time, or was interrupted, and is still in its thread."""
    before = set(threading.enumerate())
    try:
        yield
    except typer.Exit as ending:
        _abandon(set(threading.enumerate()) - before, ending.exit_code)
        raise
    except KeyboardInterrupt:
        _abandon(set(threading.enumerate()) - before, exits.INTERRUPTED)
        raise


def _abandon(threads: set[threading.Thread], code: int) -> None:
    """End the process now if one of `threads` will not end soon: Python would wait for it."""
    working = [thread for thread in threads if not thread.daemon]
    for thread in working:
        thread.join(FAREWELL_S)
    if any(thread.is_alive() for thread in working):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
