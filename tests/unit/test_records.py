"""The records of a micro-batch are decoded only when asked, and a bad one is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel

from stages import InvalidPipeline, Permanent, Pipeline, Record, Records, stage
from stages.records import is_shape, shaped


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


def test_the_bytes_alone_come_without_a_record_for_each() -> None:
    assert records(b"{}", None, b"not json").values() == [b"{}", None, b"not json"]

    class Columns(list[Record]):
        def values(self) -> list[bytes | None]:
            return [b"1", None]

        def __iter__(self) -> Iterator[Record]:
            raise AssertionError("nobody asked for records")

    batch = Records(Columns())
    assert batch.values() == [b"1", None]
    assert batch.json() == [1, None]


def test_values_come_as_a_frame_with_a_row_for_each_object() -> None:
    frame = records(b'{"a": 1}', None, b'{"a": 2, "b": "x"}').frame()
    assert frame.to_dicts() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert records().frame().is_empty()


def test_a_record_that_cannot_be_decoded_is_named_by_topic_partition_and_offset() -> None:
    with pytest.raises(Permanent, match=r"flights\[3\]@101: its value is not JSON"):
        records(b"{}", b"{").json()
    with pytest.raises(Permanent, match=r"flights\[3\]@100: its value is JSON but no object"):
        records(b"[1]").frame()


def test_bad_records_are_left_out_and_told_where_the_trigger_says_so(caplog: pytest.LogCaptureFixture) -> None:
    values = [b'{"a": 1}', b"{", None, b"[1]", b'{"a": 2}']
    batch = Records([Record("flights", 3, 100 + index, 0, None, value) for index, value in enumerate(values)], "skip")
    assert batch.rows() == [{"a": 1}, {"a": 2}]
    assert batch.json() == [{"a": 1}, None, {"a": 2}]
    assert batch.frame().to_dicts() == [{"a": 1}, {"a": 2}]
    assert batch.table().to_pylist() == [{"a": 1}, {"a": 2}]
    assert sorted(batch.left_out) == [101, 103]
    assert "2 of 5 records were left out: record flights[3]@101: its value is not JSON" in caplog.text


def test_an_arrow_table_has_every_column_of_any_record() -> None:
    table = records(b'{"a": 1}', None, b'{"b": "x", "a": 2}').table()
    assert table.to_pydict() == {"a": [1, 2], "b": [None, "x"]}


SHAPELESS = [
    ([b'{"a": 1}', b'{"a": "x"}'], r"\[3\]@101: column 'a' is text here and a number before: take list"),
    ([b'{"a": "x"}', b'{"a": 1}'], r"@101: column 'a' is a number here and text before"),
    ([b'{"a": null}', b'{"a": true}', b'{"a": 1}'], r"@102: column 'a' is a number here and true or false before"),
    ([b'{"a": {}}', b'{"a": "x"}'], r"@101: column 'a' is text here and an object before"),
    ([b'{"a": [1, "x"]}'], r"@100: column 'a\[\]' is text here and a number before"),
    ([b'{"a": {"b": [{"c": 1}]}}', b'{"a": {"b": [{"c": []}]}}'], r"@101: column 'a.b\[\].c' is a list here and a num"),
    ([b'{"a": 1}', b'{"a": 18446744073709551615}'], r"@101: column 'a' holds a whole number of more than 64 bits"),
    ([b'{"a": 1180591620717411303424}'], r"@100: column 'a' holds a whole number of more than 64 bits"),
    ([b'{"a": ' + b"9" * 5000 + b"}"], "@100: column 'a' holds a whole number of more than 64 bits|not JSON"),
    ([b'{"a": 9007199254740993}', b'{"a": 0.5}'], r"@100: column 'a' holds 9007199254740993, which is not exact"),
    ([b'{"a": ' * 150 + b"1" + b"}" * 150], r"@100: column 'a.a.*' is nested more than 100 levels deep"),
]


@pytest.mark.parametrize(("values", "told"), SHAPELESS)
def test_values_of_which_no_column_can_be_made_are_named_with_what_to_take_instead(
    values: list[bytes], told: str
) -> None:
    for shape in (pl.DataFrame, pa.Table):
        with pytest.raises(Permanent, match=told):
            shaped(records(*values), shape)
    assert len(shaped(records(*values), list[Record])) == len(values)


def test_whole_and_other_numbers_are_one_kind_and_large_ones_with_an_exponent_are_numbers() -> None:
    for shape in (pl.DataFrame, pa.Table):
        found = shaped(records(b'{"a": 1, "b": [], "c": {}}', b'{"a": 0.5, "b": [1], "c": {"d": 1e300}}'), shape)
        rows = found.to_dicts() if shape is pl.DataFrame else found.to_pylist()
        assert rows == [{"a": 1.0, "b": [], "c": {"d": None}}, {"a": 0.5, "b": [1], "c": {"d": 1e300}}]


def test_a_number_that_is_too_large_is_left_out_where_the_trigger_says_so() -> None:
    values = [b'{"a": 1}', b'{"a": 18446744073709551615}', b'{"a": 2}']
    for shape in (pl.DataFrame, pa.Table):
        given = Records([Record("flights", 3, at, 0, None, value) for at, value in enumerate(values)], "skip")
        assert len(shaped(given, shape)) == 2
        assert list(given.left_out) == [1]


def test_objects_without_a_member_are_rows_all_the_same() -> None:
    assert [len(shaped(records(b"{}", b"{}", None), shape)) for shape in (pl.DataFrame, pa.Table)] == [2, 2]


class Row(BaseModel):
    a: int


SHAPES = [
    (list[dict[str, Any]], [{"a": 1}]),
    (list, [{"a": 1}]),
    (Sequence[Mapping[str, int]], [{"a": 1}]),
    (list[Row], [Row(a=1)]),
    (list[Record], [Record("flights", 3, 100, 0, b"k", b'{"a": 1}')]),
]


@pytest.mark.parametrize(("annotation", "given"), SHAPES)
def test_a_batch_comes_in_the_shape_of_its_annotation(annotation: Any, given: Any) -> None:
    assert is_shape(annotation)
    assert shaped(records(b'{"a": 1}'), annotation) == given


def test_a_batch_comes_as_a_frame_or_a_table() -> None:
    assert shaped(records(b'{"a": 1}'), pl.DataFrame).to_dicts() == [{"a": 1}]
    assert shaped(records(b'{"a": 1}'), pa.Table).to_pydict() == {"a": [1]}
    assert not any(is_shape(one) for one in (None, int, dict, list[int], pl.Series, Records))


def test_a_record_that_does_not_fit_a_model_is_named_or_left_out() -> None:
    with pytest.raises(Permanent, match=r"flights\[3\]@101: 1 wrong: Field required"):
        records(b'{"a": 1}', b"{}").models(Row)
    one = Records([Record("flights", 3, 7, 0, None, b"{}"), Record("flights", 3, 8, 0, None, b'{"a": 1}')], "dead")
    assert one.models(Row) == [Row(a=1)]
    assert list(one.left_out) == [7]


def test_a_parameter_called_batch_must_say_what_it_wants() -> None:
    @stage
    def load(batch: int) -> int:
        return batch

    with pytest.raises(InvalidPipeline, match="parameter 'batch' is annotated int: the records of a micro-batch come"):
        Pipeline("p", [load])


def test_a_stage_called_batch_is_an_input_as_any_other() -> None:
    @stage
    def batch() -> int:
        return 1

    @stage
    def load(batch: int) -> int:
        return batch

    assert not Pipeline("p", [batch, load]).plan.stages["load"].takes_records
