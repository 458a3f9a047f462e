"""What is kept in memory of artifacts: how much, in which form, and only where it is what decoding would give."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from stages.artifacts import ArtifactRef
from stages.codecs.base import Scratch, decode, encode
from stages.errors import Undecodable
from stages.kept import Kept

ROWS = 2_000


def frame(first: int) -> pl.DataFrame:
    return pl.DataFrame({"n": range(first, first + ROWS)}).select(pl.col("n").hash(first))


def two_frames() -> pl.Series:
    return pl.concat([frame(0), frame(1)])["n"]


def kept_of(kept: Kept, value: Any, digest: str) -> ArtifactRef:
    """What a stage does with a value it made."""
    label, payload = encode(value, Scratch())
    assert isinstance(payload, bytes)
    ref = ArtifactRef(digest, label, len(payload))
    kept.put(ref, kept.copy_of(value, label, payload))
    return ref


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    size = frame(0).estimated_size()
    kept = Kept(int(2.5 * size))
    one, two = kept_of(kept, frame(1), "1"), kept_of(kept, frame(2), "2")
    assert kept.find(one, None) is not None
    three = kept_of(kept, frame(3), "3")
    assert [kept.find(ref, None) is not None for ref in (one, two, three)] == [True, False, True]
    assert kept.held == {"1": size, "3": size}


def test_what_is_kept_again_counts_once() -> None:
    kept = Kept(int(1.5 * frame(0).estimated_size()))
    for _ in range(3):
        ref = kept_of(kept, frame(1), "1")
    assert kept.find(ref, None) is not None


def test_what_has_no_room_at_all_pushes_nothing_out() -> None:
    kept = Kept(frame(0).estimated_size())
    one = kept_of(kept, frame(1), "1")
    kept_of(kept, pl.concat([frame(1), frame(2)]), "2")
    assert kept.find(one, None) is not None


def test_what_lives_in_the_row_is_not_kept() -> None:
    kept = Kept(1 << 20)
    kept_of(kept, pl.DataFrame({"n": [1]}), "1")
    assert kept.held == {}


def test_a_frame_is_handed_over_as_it_is_wanted() -> None:
    kept = Kept(1 << 20)
    ref = kept_of(kept, frame(1), "1")
    assert_frame_equal(kept.find(ref, pl.DataFrame), frame(1))
    assert_frame_equal(kept.find(ref, pl.LazyFrame).collect(), frame(1))
    assert kept.find(ref, pa.Table) is None
    with pytest.raises(Undecodable, match="a frame was stored"):
        kept.find(ref, dict)


def test_each_library_has_a_frame_of_its_own() -> None:
    kept = Kept(1 << 20)
    label, payload = encode(frame(1), Scratch())
    ref = ArtifactRef("1", label, len(payload) if isinstance(payload, bytes) else 0)
    for wanted in (pl.DataFrame, pa.Table):
        assert isinstance(kept.read(ref, wanted, decode(label, payload, wanted, Scratch())), wanted)
        assert isinstance(kept.find(ref, wanted), wanted)


@pytest.mark.parametrize("wanted", [bytes, bytearray])
def test_bytes_are_handed_over_as_they_are_wanted(wanted: type) -> None:
    kept = Kept(1 << 20)
    ref = kept_of(kept, b"x" * 10_000, "1")
    found = kept.find(ref, wanted)
    assert type(found) is wanted
    assert found == b"x" * 10_000


def test_what_a_reader_does_to_its_frame_stays_its_own() -> None:
    kept = Kept(1 << 20)
    label, payload = encode(frame(1), Scratch())
    ref = ArtifactRef("1", label, 1)
    mine = kept.read(ref, pl.DataFrame, decode(label, payload, pl.DataFrame, Scratch()))
    mine[0, "n"] = 0
    mine.extend(frame(2))
    assert_frame_equal(kept.find(ref, pl.DataFrame), frame(1))


def test_a_value_that_decodes_to_another_one_is_read_from_the_store() -> None:
    """Parquet knows no timestamps in seconds: what comes back are milliseconds."""
    table = pa.table({"at": pa.array(range(ROWS * 10), pa.timestamp("s"))})
    label, payload = encode(table, Scratch())
    assert decode(label, payload, None, Scratch()).schema != table.schema
    kept = Kept(1 << 20)
    kept_of(kept, table, "1")
    assert kept.held == {}


@pytest.mark.parametrize(
    "value",
    [
        pl.DataFrame({"c": pl.Series(["a", "b"] * ROWS).cast(pl.Categorical), "n": two_frames()}),
        pl.DataFrame({"s": [{"x": [1, None], "y": "é"}, None] * ROWS, "n": two_frames()}),
        pa.table({"d": pa.array(["a", None] * ROWS).dictionary_encode(), "n": two_frames().to_arrow()}),
        pa.table({"n": frame(0)["n"].to_arrow()}).replace_schema_metadata({"k": "v"}),
        pa.concat_tables([pa.table({"n": frame(one)["n"].to_arrow()}) for one in range(3)]).slice(100, 3_000),
    ],
    ids=["categorical", "nested", "dictionary", "metadata", "chunks"],
)
def test_what_is_kept_is_what_decoding_gives(value: Any) -> None:
    kept = Kept(1 << 24)
    ref = kept_of(kept, value, "1")
    found = kept.find(ref, None)
    assert found is not None
    decoded = decode(*encode(value, Scratch()), None, Scratch())
    if isinstance(value, pl.DataFrame):
        assert_frame_equal(found, decoded)
    else:
        assert found.equals(decoded, check_metadata=True)
    assert encode(found, Scratch()) == encode(decoded, Scratch())
