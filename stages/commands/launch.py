"""Starts a program that ends with its daemon: `python launch.py LIFELINE PROGRAM ARGUMENT...`.

LIFELINE is the end of a pipe that only the daemon holds the other end of. Standard library only, and little of it.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys

NOT_STARTED = 127


def die_with_the_daemon(lifeline: int) -> None:
    """Have the kernel kill this process and all of its group once the other end of the pipe closes (Linux only).

    It holds for whatever this process becomes by exec, as long as that keeps the descriptor.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)


def main() -> None:
    """Become the program, unless the daemon is gone already."""
    lifeline, program = int(sys.argv[1]), sys.argv[2:]
    die_with_the_daemon(lifeline)
    if select.select([lifeline], [], [], 0)[0]:
        sys.exit("the daemon is gone")
    try:
        os.execvp(program[0], program)
    except OSError as error:
        print(f"{program[0]} cannot be started: {error}", file=sys.stderr)
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
