"""A shell completes commands and options, as docs/commands.md sets it up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
# What bash does when Tab is pressed behind the words.
TAB = 'COMP_WORDS=({words}); COMP_CWORD={place}; _tidemill_completion tidemill; printf "%s\\n" "${{COMPREPLY[@]}}"'


def told(*command: str, **variables: str) -> str:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("tidemill approv", {"approve"}),
        ("tidemill stage ", {"run", "list"}),
        ("tidemill runs --sta", {"--state"}),
        ("tidemill nothing-of-ours", set()),
    ],
)
def test_bash_completes_what_is_typed(words: str, found: set[str]) -> None:
    setup = 'eval "$(_TIDEMILL_COMPLETE=source_bash tidemill)"; '
    typed = words.split(" ")
    given = " ".join(f"'{word}'" for word in typed)
    answer = told("bash", "--norc", "-c", setup + TAB.format(words=given, place=len(typed) - 1))
    assert set(answer.split()) == found


def test_zsh_and_fish_are_told_the_same() -> None:
    assert "compdef _tidemill_completion tidemill" in told("tidemill", _TIDEMILL_COMPLETE="source_zsh")
    assert "complete --command tidemill" in told("tidemill", _TIDEMILL_COMPLETE="source_fish")
    zsh = told("tidemill", _TIDEMILL_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="tidemill approv")
    assert '"approve"' in zsh
    fish = {"_TIDEMILL_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert told("tidemill", _TYPER_COMPLETE_ARGS="tidemill approv", **fish).startswith("approve")


def test_the_shell_that_asks_is_known() -> None:
    assert "complete -o default -F _tidemill_completion tidemill" in told(
        "bash", "--norc", "-c", "tidemill --show-completion bash; true"
    )


def test_the_document_says_how_it_is_set_up() -> None:
    document = (Path(__file__).parents[2] / "docs/commands.md").read_text(encoding="utf-8")
    for shell in ("bash", "zsh", "fish"):
        assert f"_TIDEMILL_COMPLETE=source_{shell} tidemill" in document
