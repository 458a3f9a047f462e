"""Secrets among the parameters: which are found, kept as they were given, and shown as `***`."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import BaseModel, Field, SecretBytes, SecretStr, field_validator

from service.definition import describe
from stages.base import stage
from stages.errors import InvalidParams, InvalidPipeline
from stages.params import digest_params, plain_params
from stages.pipeline import Pipeline
from stages.secret_params import Hidden, masked, secret_paths, shown_whole, unmasked, values_at, without
from triggers.cloudevents import CloudEvents
from triggers.event import Event


class Login(BaseModel):
    """Of a database."""

    user: str = "reader"
    password: SecretStr


class Given(BaseModel):
    """Each kind of secret."""

    token: SecretStr = SecretStr("of the author")
    key: SecretBytes | None = None
    pin: int | None = Field(None, json_schema_extra={"secret": True})
    names: list[str] = Field([], json_schema_extra={"secret": True})
    login: Login | None = None
    other: Login | None = None
    month: int = 1

    @field_validator("month")
    @classmethod
    def _known(cls, value: int) -> int:
        if value > 12:
            raise ValueError("no such month")
        return value


RAW: dict[str, Any] = {
    "token": "tok-en",
    "key": "ke-y",
    "pin": 123456,
    "names": ["al-pha", "be-ta"],
    "month": 2,
    "login": {"user": "kim", "password": "pass-word"},
    "other": None,
}
PATHS = (("token",), ("key",), ("pin",), ("names",), ("login", "password"), ("other", "password"))


@stage
async def looks(event: Event, params: Given) -> int:
    return params.month


pipeline = Pipeline("p", [looks])


def test_secrets_are_found_wherever_they_may_be() -> None:
    assert secret_paths(Given) == PATHS
    assert secret_paths(None) == ()
    assert secret_paths(Login) == (("password",),)


def test_a_run_keeps_what_it_was_given() -> None:
    kept = plain_params(pipeline.parse_params(RAW))
    assert kept == RAW
    again = pipeline.parse_params(orjson.loads(orjson.dumps(kept)))
    assert again == pipeline.parse_params(RAW)
    assert plain_params(pipeline.parse_params({}))["token"] == "of the author"


def test_the_result_of_another_secret_is_another() -> None:
    digests = {
        digest_params(pipeline.parse_params(RAW | {"token": token, "login": {"password": password}}))
        for token in ("a" * 8, "b" * 8)
        for password in ("c" * 8, "d" * 8)
    }
    assert len(digests) == 4


def test_what_is_shown_has_none_of_it_and_can_still_be_compared() -> None:
    shown = masked(RAW, PATHS)
    written = orjson.dumps(shown).decode() + repr(shown) + str(shown["token"]) + f"{shown['pin']}"
    assert not [text for text in values_at(RAW, PATHS) if text in written]
    assert sorted(values_at(RAW, PATHS)) == ["123456", "al-pha", "be-ta", "ke-y", "pass-word", "tok-en"]
    assert shown["login"] == {"user": "kim", "password": Hidden.of("pass-word")}
    assert shown["token"] == masked(RAW, PATHS)["token"]
    assert shown["token"] != masked({**RAW, "token": "another"}, PATHS)["token"]
    assert shown["token"] != "***"
    assert shown_whole(shown) == RAW
    assert without(RAW, PATHS)["login"] == {"user": "kim", "password": "***"}
    assert (shown["month"], shown["other"]) == (2, None)


def test_the_mask_means_as_it_was_where_something_was_and_is_refused_elsewhere() -> None:
    changed = {"token": "***", "login": {"user": "lee", "password": "***"}, "month": 3}
    assert unmasked(changed, RAW, PATHS) == {
        "token": "tok-en",
        "month": 3,
        "login": {"user": "lee", "password": "pass-word"},
    }
    with pytest.raises(InvalidParams, match=r"a secret is \*\*\*: give its value"):
        pipeline.parse_params({"token": "***"})


@pytest.mark.parametrize(
    "wrong",
    [{"token": ["tok-en"]}, {"month": 13}, {"pin": "pin-code"}, {"login": {"password": 12345678}}, {"names": "al-pha"}],
)
def test_errors_tell_none_of_it(wrong: dict[str, Any]) -> None:
    given = RAW | wrong
    with pytest.raises(InvalidParams) as raised:
        pipeline.parse_params(given)
    assert not [text for text in values_at(given, PATHS) if text in str(raised.value)]


def test_the_definition_says_where_they_are_and_not_what_they_are() -> None:
    told = describe(pipeline)
    assert [tuple(path) for path in told["secret_params"]] == list(PATHS)
    assert "of the author" not in str(told)
    assert "default" not in told["params"]["properties"]["names"]


class Plain(BaseModel):
    """Without any."""

    month: int = 3


@stage
async def plain(params: Plain) -> int:
    return 1


def test_a_pipeline_without_secrets_is_described_as_before() -> None:
    told = describe(Pipeline("q", [plain]))
    assert "secret_params" not in told
    assert told["params"]["properties"]["month"]["default"] == 3


class Several(BaseModel):
    """What is not found again."""

    either: SecretStr | int = 1
    table: dict[str, Login] = {}
    marked: Login | None = Field(None, json_schema_extra={"secret": True})
    named: SecretStr = Field(SecretStr(""), alias="called")


@stage
async def takes(params: Several) -> int:
    return 1


def test_secrets_in_other_places_are_refused() -> None:
    with pytest.raises(InvalidPipeline) as raised:
        Pipeline("q", [takes])
    told = str(raised.value)
    assert all(f"parameter {name!r} has a secret among other things" in told for name in ("either", "table", "marked"))
    assert "parameter 'named' is a secret and has an alias" in told


@pytest.mark.parametrize("filled", [{"token": "data.token"}, {"login": {"value": {"password": "abc"}}}])
def test_a_trigger_fills_no_secret(filled: dict[str, Any]) -> None:
    with pytest.raises(InvalidPipeline, match="which is a secret, and events are kept and shown"):
        Pipeline("q", [looks], on=[CloudEvents(where={"type": "t"}, params=filled)])
