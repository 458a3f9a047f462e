"""What a worker does not pass on any more is counted as it would have been written."""

from __future__ import annotations

import logging
import socket

from stages.workers.link import Link, LinkHandler
from stages.workers.wire import Unpacker


def test_what_is_dropped_counts_with_its_arguments() -> None:
    here, there = socket.socketpair()
    with here, there:
        handler = LinkHandler(Link(here))
        handler.mute()
        handler.emit(logging.LogRecord("a", logging.INFO, "f", 1, "%s %d", ("x" * 1_000, 7), None))
        handler.emit(logging.LogRecord("a", logging.INFO, "f", 1, {"a": 1}, None, None))
        handler.tell_dropped()
        [message] = Unpacker().feed(there.recv(1_000))
    assert message.head == {"lines": 2, "size_bytes": 1_002 + len("{'a': 1}")}
