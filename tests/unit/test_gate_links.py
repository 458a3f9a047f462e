"""A one-time link is what was signed, letter by letter, under a key of its own purpose."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from uuid import UUID

import orjson
import pytest
import typer

from service.cli.links import seconds
from service.links import MOST_TOKEN, InvalidLink, Link, read, sign

SECRET = b"s" * 32
LINK = Link(
    id=UUID(int=7),
    run_id=12,
    gate="register-deploy",
    subject="a" * 64,
    person="kim",
    decision="approved",
    expires_at_s=1_800_000_000,
)


def test_a_link_is_read_as_it_was_signed() -> None:
    odd = replace(LINK, person="Kim “K” Müller/.", gate="a.b")
    assert read(sign(LINK, SECRET), SECRET) == LINK
    assert read(sign(odd, SECRET), SECRET) == odd
    assert set(sign(odd, SECRET)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


@pytest.mark.parametrize(
    "changed",
    [
        {"run_id": 13},
        {"gate": "train-register"},
        {"subject": "b" * 64},
        {"person": "lee"},
        {"decision": "rejected"},
        {"expires_at_s": 1_900_000_000},
        {"id": UUID(int=8)},
    ],
)
def test_nothing_of_it_can_be_changed(changed: dict[str, object]) -> None:
    _, _, signature = sign(LINK, SECRET).partition(".")
    payload, _, _ = sign(replace(LINK, **changed), b"another secret").partition(".")  # type: ignore[arg-type]
    with pytest.raises(InvalidLink):
        read(f"{payload}.{signature}", SECRET)


def test_every_changed_letter_is_found() -> None:
    token = sign(LINK, SECRET)
    for at, letter in enumerate(token):
        other = "A" if letter != "A" else "B"
        with pytest.raises(InvalidLink):
            read(token[:at] + other + token[at + 1 :], SECRET)
    for strange in (token + "A", token + "=", token[:-1], f"{token}.{token}", token.replace(".", ""), " " + token):
        with pytest.raises(InvalidLink):
            read(strange, SECRET)


@pytest.mark.parametrize("token", ["", ".", "a.b", "é.é", "\0", "x" * (MOST_TOKEN + 1), "." * 100, "a." + "b" * 43])
@pytest.mark.parametrize("secret", [SECRET, b""])
def test_garbage_is_refused(token: str, secret: bytes) -> None:
    with pytest.raises(InvalidLink):
        read(token, secret)


def test_what_is_signed_with_the_same_secret_for_another_purpose_is_no_link() -> None:
    payload, _, _ = sign(LINK, SECRET).partition(".")
    plain = urlsafe_b64encode(hmac.digest(SECRET, payload.encode(), hashlib.sha256)).rstrip(b"=").decode()
    with pytest.raises(InvalidLink):
        read(f"{payload}.{plain}", SECRET)


def test_a_link_of_a_later_version_is_refused_though_its_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    token = sign(LINK, SECRET)
    fields = orjson.loads(urlsafe_b64decode(token.partition(".")[0] + "=="))
    monkeypatch.setattr("service.links.orjson.dumps", lambda given: b"[%d]" % len(fields))
    with pytest.raises(InvalidLink, match="of this version"):
        read(sign(LINK, SECRET), SECRET)


@pytest.mark.parametrize(
    ("text", "told"), [("90min", 5400), ("8h", 28_800), ("2d", 172_800), ("3600", 3600), ("5 m", 300), ("7s", 7)]
)
def test_times_are_read(text: str, told: float) -> None:
    assert seconds(text) == told


@pytest.mark.parametrize("text", ["", "tomorrow", "-1h", "1.5h", "1w", "99999999999"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)
