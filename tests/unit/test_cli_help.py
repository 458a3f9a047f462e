"""Every command has an example, and every command line in a document is one that exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from service.cli.main import build_app
from service.errors import ServiceError

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"Example: tidemill (.+)", re.DOTALL)
NAMED = re.compile(r"`tidemill ([a-z][^`]*)`")
LINE = re.compile(r"\s*(?:\$ )?(?:\w+=\S+ )*tidemill (.+)")
# Every error of typing is one; typer exports only this kind of it.
UsageError: Any = typer.BadParameter.__base__
ENDS = frozenset({"|", ">", "<", "&&", ";", "&"})
# Where a document names what the reader puts there.
STAND_INS = {"RUN": "12"}


@cache
def root() -> Any:
    return typer.main.get_command(build_app())


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with its words, groups left out."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def words(line: str) -> list[str]:
    """The arguments of one command line, up to a pipe, a redirection or a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
    lexer.whitespace_split = True
    found = []
    for word in lexer:
        if word in ENDS:
            break
        found.append(STAND_INS.get(word, word))
    return found


def parse(arguments: list[str]) -> None:
    """Read a command line as it would be read, without running it. Raises what the command would."""
    command, context, rest = root(), root().make_context("tidemill", list(arguments)), arguments
    while hasattr(command, "commands"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, list(rest), parent=context)


def option_names(line: str) -> tuple[Any, set[str]]:
    """The command a short mention names, and the options it names."""
    command, rest = root(), line.split()
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    return command, {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/**/*.md"))]


def written_lines() -> Iterator[tuple[str, str]]:
    """Where each command line in a code block stands, and the line."""
    for path in documents():
        blocks = re.findall(r"```\w*\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            if found := LINE.fullmatch(line):
                yield path.name, found[1]


def mentions() -> Iterator[tuple[str, str]]:
    """Where each command named in running text stands, and what is named."""
    for path in documents():
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        for found in NAMED.findall(text):
            yield path.name, " ".join(found.split())


def wrong(line: str) -> str:
    """What is wrong with a command line, or nothing."""
    try:
        parse(words(line))
    except (UsageError, ServiceError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def unknown(mention: str) -> str:
    """What a short mention names that does not exist, or nothing."""
    try:
        command, options = option_names(mention)
    except KeyError as error:
        return f"no command {error}"
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    return ", ".join(sorted(options - known - {"--help"}))


def test_every_command_has_help_with_an_example_that_can_be_read() -> None:
    problems = {}
    for name, command in commands(root()):
        example = EXAMPLE.search(command.help or "")
        line = " ".join(example[1].split()) if example else ""
        fits = f"{line} ".startswith(f"{name} ")
        problems[name] = wrong(line) if fits else "its docstring has no `Example: tidemill ...`"
    assert {name: problem for name, problem in problems.items() if problem} == {}


def test_every_option_says_what_it_is_for() -> None:
    silent = [
        f"{name} {option.name}"
        for name, command in commands(root())
        for option in command.params
        if not getattr(option, "help", "")
    ]
    assert silent == []


def test_every_command_line_in_a_document_can_be_read() -> None:
    lines = list(written_lines())
    assert len(lines) > 20
    assert {place: problem for place in lines if (problem := wrong(place[1]))} == {}


def test_every_command_named_in_a_document_exists() -> None:
    named = list(mentions())
    assert named
    assert {place: problem for place in named if (problem := unknown(place[1]))} == {}


@pytest.mark.parametrize("line", ["sho 12", "show", "show 12 --jsn", "show twelve", "stage walk a b", "run"])
def test_a_wrong_command_line_is_seen(line: str) -> None:
    assert wrong(line)


@pytest.mark.parametrize("mention", ["sho", "show --jsn"])
def test_a_wrong_mention_is_seen(mention: str) -> None:
    assert unknown(mention)
