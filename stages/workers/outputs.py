"""A worker's stdout and stderr: pipes to the daemon."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

STREAMS = {1: "stdout", 2: "stderr"}


class Outputs:
    """Keeps hold of the pipes, whatever a stage does to its outputs."""

    def __init__(self) -> None:
        self._pipes = {number: os.dup(number) for number in STREAMS}
        self._streams = {number: _open(number) for number in STREAMS}
        self._nowhere = os.open(os.devnull, os.O_WRONLY)

    def restore(self) -> None:
        """Print to the daemon, every line as soon as it is whole."""
        for number, name in STREAMS.items():
            os.dup2(self._pipes[number], number)
            if self._streams[number].closed:
                self._streams[number] = _open(number)
            setattr(sys, name, self._streams[number])
            setattr(sys, f"__{name}__", self._streams[number])

    def mute(self) -> None:
        """Print nowhere until `restore`: a flood would cost the daemon what it costs the stage."""
        for number in STREAMS:
            os.dup2(self._nowhere, number)

    def flush(self) -> None:
        """Let everything out that was printed."""
        for stream in self._streams.values():
            with suppress(ValueError, OSError):  # the stage closed it, or what is below it
                stream.flush()


def _open(number: int) -> TextIO:
    return os.fdopen(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
