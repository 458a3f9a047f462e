"""Runs one server as its child and stops it when the daemon that wanted it is gone, `kill -9` included.

A script for a bare interpreter (`python -I -S supervisor.py ORDER`), so it starts in milliseconds and imports nothing
of ours. ORDER is `child.Order` as JSON. Its stdin is a pipe from the daemon: end of file means stop. Says `ready` on
stdout when the server does, and ends with the server's exit code (128 + signal), or with `BUSY` or `NO_START`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import sys
import time
from typing import Any

BUSY = 75
NO_START = 127
LOG_SIZE_BYTES = 10_000_000
TICK_S = 1.0
LOCK_S = 10.0
LOOK_S = 0.02
LAST_WORDS_S = 5.0
OURS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522


def main() -> int:
    """Take the lock, run the server to its end, clean up."""
    order = json.loads(sys.argv[1])
    os.umask(0o077)
    lock = take_lock(order["lock"])
    if lock is None:
        return BUSY
    signals = listen_for_signals()
    pid, output = launch(order, lock)
    code = Watch(order, pid, output, signals).run()
    for folder in order["remove"]:
        remove(folder)
    return code


def take_lock(path: str) -> int | None:
    """A locked descriptor of `path`, or None when somebody else keeps it for longer than `LOCK_S`.

    The server and its children inherit it: while one of them lives, nobody else touches their files. A supervisor whose
    daemon died as it began may take it yet, and lets go of it once it has seen that.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    given_up = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= given_up:
                return None
            time.sleep(LOOK_S)
        else:
            return descriptor


def listen_for_signals() -> int:
    """A pipe that receives the number of each signal sent to this process."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    for number in OURS:
        signal.signal(number, lambda *_: None)
    return read_end


def launch(order: dict[str, Any], lock: int) -> tuple[int, int]:
    """Start the server; its process id and the pipe that carries its stdout and stderr."""
    read_end, write_end = os.pipe()
    supervisor = os.getpid()
    # A signal that arrives before the child has dropped our handlers must wait, or the child would swallow it.
    signal.pthread_sigmask(signal.SIG_BLOCK, OURS)
    pid = os.fork()
    if pid == 0:
        try:
            become_server(order, supervisor, write_end, lock)
        except (OSError, ValueError) as error:
            os.write(
                write_end, f"cannot run {order['command'][0]} as {order['run_as'] or 'this user'}: {error}\n".encode()
            )
        finally:
            os._exit(NO_START)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)
    os.close(write_end)
    os.set_blocking(read_end, False)
    return pid, read_end


def become_server(order: dict[str, Any], supervisor: int, output: int, lock: int) -> None:
    """In the child: drop privileges, wire the descriptors, and turn into the server."""
    for number in (*OURS, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OURS)
    os.dup2(input_pipe(order["input"]), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.set_inheritable(lock, True)
    if order["run_as"] is not None:
        drop_privileges(**order["run_as"])
    if sys.platform == "linux":
        die_with_parent(supervisor, order["stop_signal"])
    os.chdir(order["folder"])
    os.execve(order["command"][0], order["command"], order["environment"])


def input_pipe(text: str) -> int:
    """A descriptor from which `text` (shorter than a pipe's buffer) can be read, then end of file."""
    read_end, write_end = os.pipe()
    os.write(write_end, text.encode())
    os.close(write_end)
    return read_end


def drop_privileges(uid: int, gid: int, capability: int | None) -> None:
    """Stop being root. Keeps `capability` alone, over exec too (capabilities(7), ambient set)."""
    if capability is not None:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is not None:
        keep_only(capability)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def keep_only(capability: int) -> None:
    """Make `capability` the only effective, permitted and inheritable one."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")


def prctl(option: int, *arguments: int) -> None:
    """prctl(2), Linux only."""
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def die_with_parent(supervisor: int, stop_signal: int) -> None:
    """Have the kernel send `stop_signal` when the supervisor itself is killed."""
    prctl(PR_SET_PDEATHSIG, stop_signal)
    if os.getppid() != supervisor:
        os._exit(NO_START)


class Log:
    """The server's output in a file, and one older file, each of at most `LOG_SIZE_BYTES` or so."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = open(path, "ab", buffering=0)  # noqa: PTH123, SIM115 - open for this process's life

    def write(self, data: bytes) -> None:
        """Append, and start a new file when this one is full. A full disk loses lines, never the server."""
        with contextlib.suppress(OSError):
            if self._file.tell() > LOG_SIZE_BYTES:
                self._file.close()
                os.replace(self._path, self._path + ".1")  # noqa: PTH105
                self._file = open(self._path, "ab", buffering=0)  # noqa: PTH123, SIM115
            self._file.write(data)


class Watch:
    """One server from its start to its end."""

    def __init__(self, order: dict[str, Any], pid: int, output: int, signals: int) -> None:
        self._order = order
        self._pid = pid
        self._output = output
        self._signals = signals
        self._log = Log(order["log"])
        self._unseen = order["ready"].encode()
        self._recent = b""
        self._stops = [(order["stop_signal"], order["grace_s"]), (signal.SIGQUIT, LAST_WORDS_S), (signal.SIGKILL, 0.0)]
        self._next_stop_at: float | None = None

    def run(self) -> int:
        """Pass on output and signals until the server has ended; its exit code."""
        inputs = [0, self._output, self._signals]
        while (code := self._ended()) is None:
            readable, _, _ = select.select(inputs, [], [], TICK_S)
            if self._output in readable and not self._copy_output():
                inputs.remove(self._output)
            if 0 in readable and os.read(0, 1) == b"":
                inputs.remove(0)
                self._stop()
            if self._signals in readable and set(os.read(self._signals, 512)) - {signal.SIGCHLD}:
                self._stop()
            # A child that the daemon forked may hold the pipe open after the daemon's death.
            if os.getppid() != self._order["daemon"]:
                self._stop()
            self._escalate()
        self._drain()
        return code

    def _ended(self) -> int | None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return None
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _copy_output(self) -> bool:
        data = os.read(self._output, 65_536)
        self._log.write(data)
        if self._unseen:
            self._recent = self._recent[-len(self._unseen) :] + data
            if self._unseen in self._recent:
                self._unseen = b""
                with contextlib.suppress(OSError):
                    os.write(1, b"ready\n")
        return data != b""

    def _stop(self) -> None:
        if self._next_stop_at is None:
            self._next_stop_at = time.monotonic()

    def _escalate(self) -> None:
        if self._next_stop_at is not None and self._stops and time.monotonic() >= self._next_stop_at:
            number, patience_s = self._stops.pop(0)
            os.kill(self._pid, number)
            self._next_stop_at = time.monotonic() + patience_s

    def _drain(self) -> None:
        """Copy what is left. The end of file also tells that the server's own children are gone."""
        deadline = time.monotonic() + LAST_WORDS_S
        while (left_s := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self._output], [], [], left_s)
            if readable and not self._copy_output():
                return


def remove(folder: str) -> None:
    """Remove a flat folder and its files."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):  # noqa: PTH208 - no pathlib: it costs milliseconds
            os.remove(os.path.join(folder, name))  # noqa: PTH107, PTH118
        os.rmdir(folder)  # noqa: PTH106


if __name__ == "__main__":
    sys.exit(main())
