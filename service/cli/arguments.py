"""What people type, as values: run ids, parameters, JSON. Each says what it expected instead."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.cli.latest import latest_runs
from service.errors import Invalid

if TYPE_CHECKING:
    from service.client import Client


def run_id(text: str) -> int:
    """The id of a run."""
    if text.isascii() and text.isdigit() and 0 < int(text) < 1 << 63:
        return int(text)
    raise Invalid(f"{text!r} is not a run: runs have whole numbers, such as 12; `tidemill runs` lists them")


Priority = Annotated[
    int | None,
    typer.Option(min=-100, max=100, help="Up to 100, to go before others; below 0, after them.", show_default=False),
]
RunId = Annotated[
    int, typer.Argument(parser=run_id, autocompletion=latest_runs, metavar="RUN", help="The number of a run.")
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param", metavar="KEY=VALUE", help="One parameter; the value is JSON, or else text. May be repeated."
    ),
]
Params = Annotated[str | None, typer.Option("--params", metavar="JSON", help="All parameters, as one JSON object.")]
Asker = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who asks for it; default: whose token it is, or your login name."),
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")]
After = Annotated[str | None, typer.Option(metavar="NAME", help="Only what comes after this one, by name.")]


def asker(given: str | None, client: Client) -> str | None:
    """Who asks for something: as given, else nobody where the daemon knows by the token, else the user's login name."""
    if given is not None or client.has_own_name:
        return given
    import getpass

    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "cli"


def parse_params(pairs: list[str] | None, whole: str | None) -> dict[str, Any]:
    """The parameters of a run: those of `--params`, and over them each `--param`."""
    params = parse_json(whole, "--params") if whole else {}
    if not isinstance(params, dict):
        raise Invalid("--params takes a JSON object, such as '{\"months\": 6}'")
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise Invalid(f"--param {pair!r}: write it as key=value")
        params[key] = _value(value)
    return params


def parse_json(text: str, what: str) -> Any:
    """A JSON value. `what` names where it was given."""
    try:
        return json.loads(text, parse_constant=_not_json)
    except ValueError as error:
        raise Invalid(f"{what} is not JSON: {error}") from None


def read_text(source: Path) -> str:
    """The text of a file, or of standard input for `-`."""
    try:
        return sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{source} cannot be read: {error}") from None


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_not_json)
    except ValueError:
        return text


def _not_json(word: str) -> Any:
    raise ValueError(f"{word} is no JSON value")
