"""What no codec stores, and what cannot be read as wanted, is said plainly."""

from __future__ import annotations

import gc
import io
import weakref
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import BaseModel
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer

from stages.codecs.base import TYPES, Scratch, codec_for, decode, encode
from stages.errors import NoCodec, Undecodable


@pytest.fixture
def scratch() -> Iterator[Scratch]:
    with Scratch() as folder:
        yield folder


class Report(BaseModel):
    r2: float


def own_step(value: Any) -> Any:
    return value


REFUSED: list[tuple[Any, str]] = [
    (object(), r"type object, which no codec stores.*polars\.DataFrame.*pydantic"),
    ((one for one in "ab"), "generator"),
    ({"score": float("nan")}, r"\['score'\] is nan"),
    ([1.0, float("-inf")], r"\[1\] is -inf"),
    (Report(r2=float("inf")), "inf"),
    ({"score": np.float32("nan")}, "nan"),
    ({1: "a"}, "key of a dict in it is not text"),
    ({"frame": pl.DataFrame({"a": [1]})}, "DataFrame in it.*whole output"),
    ([b"bytes"], "bytes in it"),
    (2**64, "64-bit"),
    ("\ud800", "UTF-8"),
    (pl.LazyFrame({"a": [1]}), r"collect\(\)"),
    (pl.DataFrame({"a": [object()]}), "columns a hold Python objects"),
    (np.array([object()]), "Python objects"),
    (FunctionTransformer(own_step), "own_step.*only types of numpy, scipy, sklearn"),
    (Path("/does/not/exist"), "neither a file nor a folder"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=lambda one: str(type(one).__name__))
def test_a_value_that_cannot_be_stored_names_stage_type_and_way_out(value: Any, message: str, scratch: Scratch) -> None:
    with pytest.raises(NoCodec, match=f"(?s){message}") as caught:
        encode(value, scratch, "stage 'train'")
    assert str(caught.value).startswith("stage 'train' returned a value of type ")


def test_a_link_out_of_a_folder_is_not_followed(tmp_path: Path, scratch: Scratch) -> None:
    for target in ("../secret", "/etc/passwd", "inner/../../secret"):
        link = tmp_path / "folder" / "link"
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(target)
        with pytest.raises(NoCodec, match="out of the folder"):
            encode(tmp_path / "folder", scratch)
        link.unlink()


@pytest.mark.parametrize(
    ("value", "wanted", "message"),
    [
        ({"r2": "high"}, Report, "r2"),
        ("a", int, "no <class 'int'>"),
        ([1], LinearRegression, "annotate"),
        (pl.DataFrame({"a": [1]}), dict, "annotate polars"),
    ],
)
def test_an_artifact_that_does_not_fit_its_taker_says_so(
    value: Any, wanted: Any, message: str, scratch: Scratch
) -> None:
    with pytest.raises(Undecodable, match=message):
        decode(*encode(value, scratch), wanted, scratch)


def test_an_unknown_codec_is_named(scratch: Scratch) -> None:
    with pytest.raises(Undecodable, match=r"'pickle'.*json"):
        decode("pickle", b"", None, scratch)


def test_a_model_altered_to_name_a_dangerous_type_is_not_loaded(scratch: Scratch) -> None:
    label, data = encode(LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0]), scratch)
    assert isinstance(data, bytes)
    altered = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(altered, "w") as new:
        for name in old.namelist():
            content = old.read(name).replace(b'"LinearRegression"', b'"Popen"')
            new.writestr(name, content.replace(b"sklearn.linear_model._base", b"subprocess"))
    with pytest.raises(Undecodable, match=r"subprocess\.Popen"):
        decode(label, altered.getvalue(), None, scratch)


def test_a_stored_name_leads_nowhere_else(scratch: Scratch) -> None:
    copy = decode("path:file:../../escaped", b"x", None, scratch)
    assert copy.name == "escaped"
    assert copy.is_relative_to(Path(scratch.place()).parent)


def test_types_that_a_stage_makes_anew_each_time_are_forgotten() -> None:
    made = []
    for number in range(3 * TYPES):
        kind = type(f"Made{number}", (BaseModel,), {})
        assert codec_for(kind) is not None
        made.append(weakref.ref(kind))
    del kind
    gc.collect()
    assert sum(one() is not None for one in made) <= TYPES
