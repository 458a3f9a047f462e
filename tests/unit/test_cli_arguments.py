from __future__ import annotations

import io
from pathlib import Path

import pytest

from service.cli import arguments
from service.cli.arguments import parse_json, parse_params, read_text, run_id
from service.client import Client
from service.errors import Invalid


@pytest.mark.parametrize(
    ("pairs", "whole", "params"),
    [
        (None, None, {}),
        (
            ["n=2", "name=spring", "deep=true", 'list=[1, "a"]'],
            None,
            {"n": 2, "name": "spring", "deep": True, "list": [1, "a"]},
        ),
        (["where=a=b", "none=null", "empty="], None, {"where": "a=b", "none": None, "empty": ""}),
        (["day=2013-01-01", "odd=NaN", 'text="7"'], None, {"day": "2013-01-01", "odd": "NaN", "text": "7"}),
        (["n=3"], '{"n": 2, "m": 1}', {"n": 3, "m": 1}),
    ],
)
def test_values_are_json_where_they_are_and_text_where_not(
    pairs: list[str] | None, whole: str | None, params: dict[str, object]
) -> None:
    assert parse_params(pairs, whole) == params


@pytest.mark.parametrize(
    ("pairs", "whole", "told"),
    [
        (["n"], None, "write it as key=value"),
        (["=1"], None, "key=value"),
        (None, "[1]", "a JSON object"),
        (None, "{", "--params is not JSON"),
    ],
)
def test_what_is_wrong_with_parameters_is_said(pairs: list[str] | None, whole: str | None, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        parse_params(pairs, whole)


@pytest.mark.parametrize("text", ["", "abc", "-1", "0", "1.5", "٣", "9" * 20, "12 "])
def test_what_is_no_run_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(Invalid, match="tidemill runs"):
        run_id(text)


def test_a_run_is_a_whole_number() -> None:
    assert run_id("12") == 12


def test_not_a_number_is_no_json() -> None:
    with pytest.raises(Invalid, match="the payload is not JSON: NaN"):
        parse_json("[NaN]", "the payload")


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from outside"))
    assert read_text(Path("-")) == "from outside"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"call\.json cannot be read"):
        read_text(tmp_path / "call.json")


def test_who_asks_is_the_login_name_unless_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "kim")
    local, holder, ann = (Client("http://127.0.0.1:1", token) for token in (None, "some.odd.token", "tm_abc"))
    person = Client("http://127.0.0.1:1", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln")
    assert [arguments.asker(None, one) for one in (local, holder, ann, person)] == ["kim", "kim", None, None]
    assert {arguments.asker("lou", one) for one in (local, holder, ann, person)} == {"lou"}
