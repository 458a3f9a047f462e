"""How `stage run` treats its own process: what is on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO


@contextmanager
def only_on_stderr() -> Iterator[TextIO]:
    """Standard output belongs to the result, for which it is handed out.

    What a stage or a program it starts prints there goes to stderr.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr), os.fdopen(kept, "w", encoding="utf-8", closefd=False) as out:
            yield out
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def line_by_line() -> Iterator[TextIO]:
    """What is printed is heard at once, by a runner that tells standard output from standard error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")
    yield sys.stdout
