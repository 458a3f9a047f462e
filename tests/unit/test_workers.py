"""What goes between a daemon and its workers, without any process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts import ArtifactRef
from stages.log_lines import MOST_ROW_BYTES, MOST_ROWS, Allowance
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, Succeeded
from stages.result import from_json, to_json
from stages.runners.base import RunnerTools
from stages.stores import open_store
from stages.workers.lent import Asking, LentReader, answer
from stages.workers.lines import LINE_BYTES, Lines
from stages.workers.main_thread import MainThread
from stages.workers.wire import Message, Unpacker, from_text, pack, to_text
from triggers.base import OffsetRange, Record

RANGE = OffsetRange("cluster", "topic", 3, 5, 9, 3)
RECORDS = [
    Record("topic", 3, 5, 1_700_000_000_000, None, b'{"n": 1}'),
    Record("topic", 3, 7, -1, b"", None, (("trace", b"\x00\xff"), ("trace", b""))),
    Record("topic", 3, 9, 0, b"key", b""),
]


@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), st.integers(0, 9)), st.binary(max_size=99))), st.data())
def test_messages_are_found_however_their_bytes_arrive(
    sent: list[tuple[dict[str, int], bytes]], data: st.DataObject
) -> None:
    stream = b"".join(pack("log", body, head=head) for head, body in sent)
    unpacker, heard = Unpacker(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        heard += list(unpacker.feed(stream[:size]))
        stream = stream[size:]
    assert heard == [Message("log", {"head": head}, body) for head, body in sent]


def test_any_text_can_be_sent() -> None:
    assert to_text(from_text("é\udcff\0")) == "é\\udcff\0"


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(ArtifactRef("d" * 64, "json", 1, b"1"), {"r2": 0.5}),
        Succeeded(ArtifactRef("d" * 64, "frame", 9_000)),
        Failed(ErrorRecord("ValueError", "wrong", "Traceback", transient=True, retry_after_s=2.5)),
        Lost("killed"),
    ],
)
def test_an_outcome_travels_whole(outcome: Outcome) -> None:
    assert from_json(to_json(outcome)) == outcome


async def test_records_travel_whole() -> None:
    class Reader:
        async def read(self, offsets: OffsetRange) -> Sequence[Record]:
            assert offsets == RANGE
            return RECORDS

    tools = RunnerTools(store=open_store("memory://"), reader=Reader())
    with ThreadPoolExecutor(1) as daemon:

        def send(question: bytes) -> None:
            daemon.submit(answer_now, asking, question, tools)

        asking = Asking(send)
        assert await LentReader(asking).read(RANGE) == RECORDS


def answer_now(asking: Asking, question: bytes, tools: RunnerTools) -> None:
    [asked] = Unpacker().feed(question)
    [answered] = Unpacker().feed(asyncio.run(answer(asked, tools)))
    asking.answered(answered)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ([b"one\ntw", b"o\n", b"rest"], ["one", "two", "rest"]),
        ([b"10%\r50%\r100%\n"], ["100%"]),
        ([b"windows\r\n\n"], ["windows", ""]),
        ([b"caf\xc3", b"\xa9\n\xff\n"], ["café", "\ufffd"]),
        ([b"x" * (LINE_BYTES + 1)], ["x" * LINE_BYTES]),
        ([b"x" * LINE_BYTES, b"x" * LINE_BYTES, b"x\nnext\n"], ["x" * LINE_BYTES, "next"]),
        ([b"\r%d%%" % (n % 100) for n in range(20_000)], ["2%", "5%", "99%"]),
    ],
)
def test_what_is_printed_becomes_lines(printed: list[bytes], told: list[str]) -> None:
    heard: list[str] = []
    lines = Lines(lambda line, size_bytes: heard.append(line))
    for data in printed:
        lines.feed(data)
    lines.end()
    assert heard == told


def test_every_byte_of_a_line_counts_also_where_it_is_cut() -> None:
    sizes: list[int] = []
    lines = Lines(lambda line, size_bytes: sizes.append(size_bytes))
    for _ in range(100):
        lines.feed(b"x" * 65_536)
    lines.feed(b"\n")
    assert sizes == [100 * 65_536 + 1]


def test_an_allowance_is_of_lines_and_of_bytes() -> None:
    short, long = Allowance(), Allowance()
    assert sum(short.take(1) for _ in range(MOST_ROWS + 5)) == MOST_ROWS
    assert [long.take(MOST_ROW_BYTES), long.take(1)] == [True, False]


def test_an_interrupt_of_the_work_ends_the_main_threads_service() -> None:
    main = MainThread()
    failing, interrupted = main.submit(int, "x"), main.submit(interrupt)
    with pytest.raises(KeyboardInterrupt):
        main.serve()
    assert isinstance(failing.exception(), ValueError)
    assert not interrupted.done()


def interrupt() -> None:
    raise KeyboardInterrupt
