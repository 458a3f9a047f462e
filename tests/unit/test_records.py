"""The records of a micro-batch are decoded only when asked, and a bad one is named."""

from __future__ import annotations

import pytest

from stages import Permanent, Record, Records


def records(*values: bytes | None) -> Records:
    return Records([Record("flights", 3, 100 + index, 0, b"k", value) for index, value in enumerate(values)])


def test_records_are_a_sequence_that_decodes_nothing_by_itself() -> None:
    batch = records(b"not json", b"{}")
    assert len(batch) == 2
    assert batch[0].value == b"not json"
    assert isinstance(batch[:1], Records)
    assert [one.offset for one in batch] == [100, 101]


def test_values_come_as_json_and_a_tombstone_as_none() -> None:
    assert records(b'{"a": 1}', None, b"[2]").json() == [{"a": 1}, None, [2]]


def test_values_come_as_a_frame_with_a_row_for_each_object() -> None:
    frame = records(b'{"a": 1}', None, b'{"a": 2, "b": "x"}').frame()
    assert frame.to_dicts() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert records().frame().is_empty()


def test_a_record_that_cannot_be_decoded_is_named_by_topic_partition_and_offset() -> None:
    with pytest.raises(Permanent, match=r"flights\[3\]@101: its value is not JSON"):
        records(b"{}", b"{").json()
    with pytest.raises(Permanent, match=r"flights\[3\]@100: its value is JSON but no object"):
        records(b"[1]").frame()
