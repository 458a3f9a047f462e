"""A worker process: makes one attempt after the other in its main thread, and talks to the daemon in another."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.commands.launch import die_with_the_daemon
from stages.cost import Meter
from stages.errors import CodeChanged
from stages.invoke import invoke
from stages.kept import NOTHING, Kept
from stages.outcome import Outcome, guarded
from stages.pipeline import Pipeline, load
from stages.result import to_json
from stages.stores import open_store
from stages.workers.lent import Asking, LentReader, LentRegistry
from stages.workers.limits import bounded
from stages.workers.link import Link, LinkHandler, Progress, Stopped
from stages.workers.main_thread import MainThread
from stages.workers.outputs import Outputs
from stages.workers.wire import Message, Unpacker, from_text, pack, to_text

RECEIVE_BYTES = 1 << 18


def serve(sock: int, lifeline: int) -> None:
    """Serve the daemon at the other end of these descriptors until it says to stop."""
    # Another daemon will do the work. Where the kernel does not end this process, the thread that hears the daemon
    # does, as soon as Python lets it run.
    os.set_inheritable(lifeline, False)
    die_with_the_daemon(lifeline)
    os.set_inheritable(sock, False)
    faulthandler.enable(all_threads=False)
    with suppress(Stopped):
        Worker(socket.socket(fileno=sock)).run()


class Worker:
    """The main thread does the work. The other one, on an event loop, hears the daemon and drives each attempt."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._link = Link(sock)
        self._asking = Asking(self._link.send)
        self._logs = LinkHandler(self._link)
        self._main = MainThread()
        self._outputs = Outputs()
        self._pipelines: dict[str, Pipeline] = {}
        self._store: ArtifactStore | None = None
        self._kept = NOTHING

    def run(self) -> None:
        """Work until stopped."""
        self._link.hear_stop()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._listen, name="tidemill-link", daemon=True).start()
        self._main.serve()
        sys.exit("the worker's link has failed")

    def _listen(self) -> None:
        # A signal that another thread took would not wake the main one.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            asyncio.run(self._serve())
        finally:
            self._main.shutdown()

    async def _serve(self) -> None:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        unpacker = Unpacker()

        def receive() -> None:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                os.killpg(os.getpgrp(), signal.SIGKILL)
            for message in unpacker.feed(data):
                heard.put_nowait(message)

        asyncio.get_running_loop().add_reader(self._socket, receive)
        async with asyncio.TaskGroup() as tasks:
            while True:
                message = await heard.get()
                if message.kind == "answer":
                    self._asking.answered(message)
                elif message.kind == "mute":
                    (self._outputs if message.head["what"] == "print" else self._logs).mute()
                else:
                    tasks.create_task(self._done(message))

    async def _done(self, message: Message) -> None:
        """Do what a message asks for and say how it went."""
        self._logs.begin()
        head: dict[str, Any] = {}
        if message.kind == "load":
            loop = asyncio.get_running_loop()
            failure = await guarded(loop.run_in_executor(self._main, self._load, message.head))
            done = to_json(failure) if failure is not None else b""
        else:
            meter = Meter()
            done = to_json(await guarded(self._attempt(message)))
            head["spent"] = asdict(meter.read())
        self._outputs.flush()
        self._logs.tell_dropped()
        self._link.send(pack("done", done, holds=self._kept.held, **head))

    def _load(self, head: Mapping[str, Any]) -> None:
        sys.path[:] = head["path"]
        for name, level in head["levels"].items():
            logging.getLogger(name).setLevel(level)
        self._attend()
        if self._store is None:
            self._store, self._kept = open_store(head["store"]), Kept(head["kept_bytes"])
        self._pipelines[head["spec"]] = load(head["spec"])

    async def _attempt(self, message: Message) -> Outcome:
        call = Call.from_json(message.body)
        head = message.head
        stage = self._pipelines[head["spec"]].plan.stages.get(call.stage)
        if stage is None or stage.code_digest != head["code"] or self._store is None:
            raise CodeChanged(
                f"the code of stage {call.stage!r} is not what the daemon loaded: the files of {head['spec']} have "
                f"changed since; restart the daemon"
            )
        progress = Progress(self._link)
        outcome = await invoke(
            bounded(stage, self._attend),
            call,
            self._store,
            registry=LentRegistry(self._asking) if head["registry"] else None,
            reader=LentReader(self._asking) if head["reader"] else None,
            report=progress.report,
            mask=self._mask,
            executor=self._main,
            stopping=self._link.stopping,
            kept=self._kept,
        )
        progress.tell()
        return outcome

    def _mask(self, value: str) -> None:
        """The daemon knows the value before the stage goes on: nothing printed after that is older than it."""
        self._asking.ask_and_block("mask", value=to_text(from_text(value)))

    def _attend(self) -> None:
        """Set up, again for each attempt, what an earlier one may have changed."""
        signal.signal(signal.SIGTERM, self._link.stop)
        self._outputs.restore()
        root = logging.getLogger()
        if self._logs not in root.handlers:
            root.addHandler(self._logs)
