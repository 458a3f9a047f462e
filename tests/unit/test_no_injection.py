"""Nothing that somebody outside says becomes a command, an option or a path."""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import Pipeline, stage
from stages.containers.engine import mounted
from stages.environments.lock import IMAGE
from stages.errors import StageError
from stages.problems import NAME

ROOT = Path(__file__).parents[2]
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec"}
# What the daemon and a process of its own, with the same code, say to each other over a socket that only they have.
PICKLING = {"service/kept/link.py"}
HOSTILE = (
    "--privileged",
    "-v/:/host",
    "$(id)",
    "`id`",
    "a; id",
    "a|id",
    "a\nid",
    "../../etc/passwd",
    "a/b",
    "%s",
    "\0",
)
texts = st.one_of(st.text(max_size=40), st.sampled_from(HOSTILE))


def calls() -> Iterator[tuple[str, ast.Call]]:
    for floor in ("triggers", "stages", "service"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield path.relative_to(ROOT).as_posix(), node


def test_no_shell_is_started_and_no_text_is_run() -> None:
    assert [(path, ast.unparse(call)[:80]) for path, call in calls() if starts_a_shell(call)] == []
    for text in ("os.system(x)", "subprocess.run(x, shell=True)", "loop.subprocess_shell(x)", "exec(x)"):
        [node] = ast.parse(text).body
        assert isinstance(node, ast.Expr)
        assert isinstance(node.value, ast.Call)
        assert starts_a_shell(node.value), text


def starts_a_shell(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return name in SHELLS or name.endswith("subprocess_shell") or any(word.arg == "shell" for word in call.keywords)


def test_only_our_own_process_is_believed_a_pickle() -> None:
    loading = {path for path, call in calls() if ast.unparse(call.func) in ("pickle.loads", "pickle.load")}
    assert loading == PICKLING


@given(texts)
def test_names_of_stages_and_pipelines_are_plain_or_refused(name: str) -> None:
    def one() -> int:
        return 1

    try:
        Pipeline(name, [stage(name=name)(one)])
    except StageError:
        return
    assert NAME.fullmatch(name)
    assert not name.startswith("-")
    assert Path(name).name == name


@given(texts)
def test_an_image_is_no_option(name: str) -> None:
    assert not IMAGE.fullmatch(f"-{name}@sha256:{'0' * 64}")
    assert not IMAGE.fullmatch(f"{name} {name}@sha256:{'0' * 64}")


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n\0"), min_size=1))
def test_the_name_of_a_folder_adds_nothing_to_a_mount(folder: str) -> None:
    [parts] = csv.reader([mounted(Path("/") / folder, "/target")], strict=True)
    assert parts == ["type=bind", f"source={Path('/') / folder}", "target=/target"]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused(name: str) -> None:
    assert not NAME.fullmatch(name)
