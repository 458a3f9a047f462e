"""Batches that the Kafka client cannot read: what is good in them is kept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition, codec
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from tests.kafka_batches import NOT_UTF8, batch, sealed
from triggers.errors import SourceUnavailable
from triggers.kafka.apart import BROKEN, take_apart
from triggers.kafka.records import event_of

AT = TopicPartition("t", 0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def reasons(records: object) -> dict[int, str]:
    return {one.offset: getattr(one, "unreadable", "") for one in records}  # type: ignore[attr-defined]


def test_what_is_good_is_read_as_ever() -> None:
    records, after = take_apart(AT, batch() + batch(base=3), 1, 99)
    assert (after, reasons(records)) == (6, {1: "", 2: "", 3: "", 4: "", 5: ""})


@pytest.mark.parametrize("compression", [0, 1, 2, 3, 4])
def test_a_header_whose_name_is_not_utf8_spoils_its_record_only(compression: int) -> None:
    raw = batch(broken=NOT_UTF8, compression=compression)
    with pytest.raises(BROKEN):
        list(DefaultRecordBatch(raw))
    records, after = take_apart(AT, raw + batch(base=3), 0, 99)
    assert after == 6
    why = "the name of its header b'\\xff\\xfeME' is not UTF-8"
    assert reasons(records) == {0: "", 1: why, 2: "", 3: "", 4: "", 5: ""}
    assert [(one.key, one.value, one.timestamp) for one in records[:2]] == [(b"k", b"0", 1000), (b"k", b"1", 1001)]
    assert dict(records[1].headers)["\\xff\\xfeME"] == b"x"
    event, dead = event_of(records[1], "kafka:c/t", NOW)
    assert (event.id, event.data, dead) == ("0/1", b"1", why)


def test_reading_goes_on_in_the_middle_of_a_batch() -> None:
    assert reasons(take_apart(AT, batch(broken=NOT_UTF8), 1, 99)[0]).keys() == {1, 2}


def test_a_batch_with_a_wrong_checksum_is_one_record_with_its_bytes() -> None:
    raw = bytearray(batch(base=10))
    raw[-1] ^= 1
    records, after = take_apart(AT, bytes(batch(base=7) + raw + batch(base=13)), 7, 99)
    assert after == 16
    assert list(reasons(records)) == [7, 8, 9, 12, 13, 14, 15]
    assert records[3].value == bytes(raw)
    assert records[3].unreadable == "offsets 10 to 12 are a batch that cannot be read: its checksum is wrong"


def test_a_length_that_is_wrong_ends_the_batch_and_nothing_after_it() -> None:
    raw = bytearray(batch())
    raw[61] = 0x7E
    records, after = take_apart(AT, sealed(raw) + batch(base=3), 0, 99)
    assert (after, list(reasons(records))) == (6, [2, 3, 4, 5])
    assert records[0].value == bytes(raw[61:])


@pytest.mark.parametrize("compression", [1, 2, 3, 4])
def test_bytes_that_cannot_be_inflated_are_one_record(compression: int) -> None:
    raw = bytearray(batch(compression=compression))
    raw[65:80] = b"\xff" * 15
    records, after = take_apart(AT, sealed(raw), 0, 99)
    assert (after, [one.value for one in records]) == (3, [bytes(raw)])


def test_an_unknown_compression_is_one_record() -> None:
    raw = bytearray(batch())
    raw[22] = 6
    records, after = take_apart(AT, sealed(raw), 0, 99)
    assert (after, list(reasons(records))) == (3, [2])


def test_whatever_is_broken_every_offset_is_told_once_or_stepped_over_with_a_reason() -> None:
    whole = batch(broken=NOT_UTF8, records=20)
    for at in range(61, len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            raw = bytearray(whole)
            raw[at] ^= flip
            records, after = take_apart(AT, sealed(raw) + batch(base=20), 0, 99)
            offsets = [one.offset for one in records]
            # Each offset, unless the last one of the batch stands for all that could not be told apart.
            told = offsets[:-3]
            assert (after, offsets[-3:]) == (23, [20, 21, 22])
            assert told[:-1] == list(range(len(told) - 1))
            assert told[-1] == 19


def test_a_batch_that_claims_offsets_which_the_partition_does_not_have_moves_nobody_past_its_end() -> None:
    raw = bytearray(batch(broken=NOT_UTF8))
    raw[23:27] = b"\x7f\xff\xff\xff"
    raw[-1] ^= 1
    assert take_apart(AT, bytes(raw), 0, 3)[1] == 3


def test_records_of_an_aborted_transaction_are_not_told_of() -> None:
    raw = batch(broken=NOT_UTF8, producer=7)
    assert take_apart(AT, raw, 0, 99, [(7, 0)]) == ([], 3)
    assert [one.offset for one in take_apart(AT, raw, 0, 99, [])[0]] == [0, 1, 2]


def test_the_client_says_so_of_a_wrong_checksum() -> None:
    assert CorruptRecordException in BROKEN


def test_a_compression_whose_library_is_missing_is_no_fault_of_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "has_lz4", lambda: False)
    raw = bytearray(batch())
    raw[22] = 3
    with pytest.raises(SourceUnavailable, match=r"tidemill\[compression\].*lz4"):
        take_apart(AT, sealed(raw), 0, 99)
