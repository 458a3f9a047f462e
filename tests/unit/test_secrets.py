"""What is secret is not in any text that is kept, however it got there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.known_secrets import known_secrets
from service.settings import Database, Http, Kafka, Settings
from stages.outcome import MESSAGE_LIMIT, TRACEBACK_LIMIT, ErrorRecord, Failed, Lost, Succeeded
from stages.secrets import Secrets, masked_error, masked_outcome
from triggers import GitHub, Webhook

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("login hunter22!", "login ***!"),
        ("a.b*c(d and aXb*c(d", "*** and aXb*c(d"),
        ("hunter22hunter22", "******"),
        ("hunter2 is another", "hunter2 is another"),
        ("abc", "abc"),
        ("http://x/?q=p%40ss%2Fword%21", "http://x/?q=***"),
        (r"{'k': 'p@ss/word!'}", "{'k': '***'}"),
        ("zwölf-Schlüssel", "***"),
    ],
)
def test_known_values_are_hidden_wherever_they_stand(text: str, told: str) -> None:
    secrets = Secrets(["hunter22", "a.b*c(d", "abc", "p@ss/word!", "zwölf-Schlüssel", ""])
    assert secrets.mask(text) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Authorization: Bearer abc.def-ghi_jkl", "Authorization: Bearer ***"),
        ("{'authorization': 'Basic dXNlcjpwYXNz'}", "{'authorization': 'Basic ***'}"),
        ("curl -H 'bearer 0123456789abcdef'", "curl -H 'bearer ***'"),
        ("password=hunter2 next", "password=*** next"),
        ("DB_PASSWORD: 'two words' next", "DB_PASSWORD: *** next"),
        ('{"api_key": "a\\"b", "rows": 1}', '{"api_key": ***, "rows": 1}'),
        ("aws_secret_access_key = a/b+c", "aws_secret_access_key = ***"),
        ("id AKIAIOSFODNN7EXAMPLE.", "id ***."),
        ("postgresql://kim:hunter2@db/mill", "postgresql://kim:***@db/mill"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "***"),
        ("with sk-abcdefghij0123456789.", "with ***."),
        ("sk-proj-Ab_1-Cd2Ef3Gh4Ij5Kl6", "***"),
        (f"key:\n{KEY}\nend", "key:\n***\nend"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII (cut off", "***"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, told: str) -> None:
    assert Secrets().mask(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "read 12 tokens",
        "tokens=5",
        "the password is wrong",
        "bearer of news",
        "http://127.0.0.1:8400/api",
        "secret:",
        "KeyError: 'rows'",
        "AKIA is short",
        "task-0123456789-0123456789-0123456789 of sk-learn",
        "key=value",
    ],
)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert Secrets(["hunter22"]).mask(text) == text


def test_a_secret_of_several_lines_is_hidden_line_by_line_too() -> None:
    value = "first line of it\nsecond line of it\n\nx"
    secrets = Secrets([value])
    assert secrets.mask(f"<{value}>") == "<***>"
    assert [secrets.mask(line) for line in value.splitlines()] == ["***", "***", "", "x"]
    assert secrets.mask(repr(value)) == "'***'"


def test_a_longer_secret_is_hidden_whole_also_where_a_shorter_one_begins_it() -> None:
    assert Secrets(["hunter", "hunter-and-more"]).mask("hunter-and-more hunter") == "*** ***"


@given(st.text(st.characters(exclude_characters="*"), min_size=4), st.text(), st.text())
def test_no_text_holds_a_known_secret(secret: str, before: str, after: str) -> None:
    assert secret not in Secrets([secret]).mask(f"{before}{secret}{after}")


def test_what_an_attempt_hides_is_its_own() -> None:
    all_of_them = Secrets(["hunter22"])
    one = all_of_them.and_more(["of one"])
    one.add("later")
    assert one.mask("hunter22 of one later") == "*** *** ***"
    assert all_of_them.mask("hunter22 of one later") == "*** of one later"


def test_fields_are_hidden_by_their_name_or_their_value() -> None:
    deep = {"api_key": ["x"], "rows": [1, "hunter22"]}
    told = {"password": 12345, "user": "kim", "note": "is hunter22", "deep": deep}
    assert Secrets(["hunter22"]).mask_fields(told) == {
        "password": "***",
        "user": "kim",
        "note": "is ***",
        "deep": {"api_key": "***", "rows": [1, "***"]},
    }


def test_errors_are_hidden_in_message_and_traceback() -> None:
    secrets = Secrets(["hunter22"])
    failed = Failed(ErrorRecord("ValueError", "bad hunter22", "line\nValueError: bad hunter22", transient=True))
    assert masked_outcome(failed, secrets) == Failed(
        ErrorRecord("ValueError", "bad ***", "line\nValueError: bad ***", transient=True)
    )
    assert masked_outcome(Lost("hunter22 died"), secrets) == Lost("*** died")
    done = Succeeded.__new__(Succeeded)
    assert masked_outcome(done, secrets) is done


def test_an_error_that_was_cut_in_the_middle_of_a_secret_shows_no_half_of_it() -> None:
    message = ("x" * MESSAGE_LIMIT)[: MESSAGE_LIMIT - 6] + "hunter22"
    traceback = "hunter22" + "y" * (TRACEBACK_LIMIT - 5)
    error = ErrorRecord("ValueError", message[:MESSAGE_LIMIT], traceback[-TRACEBACK_LIMIT:])
    assert (error.message[-6:], error.traceback[:5]) == ("hunter", "ter22")
    masked = masked_error(error, Secrets(["hunter22"]))
    assert masked.message.endswith("x***")
    assert masked.traceback.startswith("***y")


@dataclass(frozen=True)
class Other:
    """A trigger of another kind."""

    given: tuple[str, ...]


def test_settings_and_triggers_are_asked_for_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "of the hook")
    monkeypatch.setenv("OTHER", "of another")
    settings = Settings(
        database=Database(url="postgresql://kim:of%20db@db/mill"),
        http=Http(api_token="of the api"),
        kafka=Kafka(sasl_password="of kafka"),
    )
    triggers = [
        Webhook("ci", verify=GitHub(secret="env:HOOK")),
        Webhook("two", verify=GitHub(secret=["written out"])),
        Other(("env:OTHER", "env:NOT_SET", "plain")),
    ]
    secrets = known_secrets(settings, triggers)
    texts = ["of db", "of the api", "of kafka", "of the hook", "written out", "of another"]
    assert [secrets.mask(text) for text in texts] == ["***"] * len(texts)
    assert secrets.mask("plain") == "plain"


NAMES = ("api_key", "paSSword", "pa\u017f\u017fword", "to\u212aen", "note", "https://kim:pw1234@host", "kim@host")
TEXTS = ('hunter"22', "tm_0123456789abcdefgh", "Bearer 123456789", "AKIA0123456789ABCDEF", "https://host/a", "token=x")
WORDS = st.sampled_from((*NAMES, *TEXTS))
DOCUMENTS = st.dictionaries(
    WORDS,
    st.recursive(
        WORDS | st.integers(0, 2**53) | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@given(DOCUMENTS)
def test_what_a_document_may_hold_is_all_that_is_found_in_it(document: dict[str, Any]) -> None:
    secrets = Secrets(['hunter"22'])
    likely = secrets.of_document(orjson.dumps(document).decode())
    found = document if likely is None else likely.mask_fields(document)
    assert found == secrets.mask_fields(document)


def test_a_document_without_any_is_not_gone_through() -> None:
    assert Secrets(["hunter22"]).of_document('{"note": "https://host/path", "n": 1}') is None
