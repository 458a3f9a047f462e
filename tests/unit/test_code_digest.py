"""A stage's digest changes with what its code does, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages import InvalidPipeline, Pipeline, load
from stages.digests import value_digest
from stages.source import read_object

STEPS = """
import math
import re

from shop.deep.prices import Price, price_of

FACTOR = 2
NAMES = {"b": [1, 2], "a": re.compile("x+")}
UNUSED = 1


def helper(x):
    return nested(x) * FACTOR


def nested(x):
    return math.sqrt(x) if NAMES else x
"""
PRICES = """
from dataclasses import dataclass

RATE = 1.5


@dataclass
class Price:
    euros: float

    def cents(self):
        return rounded(self.euros * 100)


def rounded(x):
    return round(x)


def price_of(x):
    return RATE * x
"""
LATE = """
from shop.deep.later import LATER


def late(x):
    return x + LATER
"""
PIPELINE = """
from stages import Pipeline, Retry, stage
from stages.gates import fresh, tests_pass
import installed
from shop import steps
from shop.deep.prices import Price
from side import sideways


COLOURS = {"red", "green", "blue", steps.nested, installed.Thing}


def positive(output):
    return output > 0


@stage(retry=Retry(max_attempts=2), timeout_s=10)
def work(source: int) -> float:
    from shop.late import late

    assert installed.THING, COLOURS
    return steps.helper(source) + Price(1.0).cents() + steps.price_of(1) + sideways(late(1))


@stage
def source() -> int:
    return 1


pipe = Pipeline("pipe", [source, work], gates={("source", "work"): [fresh(60), tests_pass(positive)]})
"""
FILES = {
    "shop/__init__.py": "",
    "shop/deep/__init__.py": "",
    "shop/steps.py": STEPS,
    "shop/late.py": LATE,
    "shop/deep/prices.py": PRICES,
    "shop/deep/later.py": "LATER = 1\n",
    "site-packages/installed.py": "class Thing:\n    pass\n\nTHING = Thing()\nNUMBER = 1\n",
    "side.py": "def sideways(x):\n    return x\n",
    "shop/pipeline.py": PIPELINE,
}
Edit = tuple[str, str, str]
Loaded = Callable[..., Pipeline]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loaded]:
    """`loaded((file, old, new), ...)` loads the pipeline above, anew, with some edits."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    numbers = iter(range(100))

    def forget() -> None:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("shop", "side", "installed"):
                del sys.modules[name]

    def load_edited(*edits: Edit) -> Pipeline:
        root = tmp_path / str(next(numbers))
        for name, content in FILES.items():
            for file, old, new in edits:
                assert file != name or old in content, f"{old!r} is not in {name}"
                content = content.replace(old, new) if file == name else content
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(textwrap.dedent(content))
        forget()
        with monkeypatch.context() as patch:
            patch.chdir(root)
            patch.setattr(sys, "path", [str(root), str(root / "site-packages"), *sys.path])
            return load("shop.pipeline:pipe")

    yield load_edited
    forget()


def digests(pipeline: Pipeline) -> tuple[str, str]:
    stages = pipeline.plan.stages
    return stages["work"].code_digest, stages["source"].code_digest


NOTHING: list[Edit] = [
    ("site-packages/installed.py", "NUMBER = 1", "NUMBER = 2"),
    ("shop/steps.py", "FACTOR = 2\n", "FACTOR = 2  # twice\n\n\n"),
    ("shop/steps.py", "def helper(x):", 'def helper(x):\n    """Help."""'),
    ("shop/steps.py", "UNUSED = 1", "UNUSED = 2"),
    ("shop/steps.py", "nested(x) * FACTOR", "(nested( x )\n        * FACTOR)"),
    ("shop/pipeline.py", "timeout_s=10", "timeout_s=20"),
    ("shop/pipeline.py", "fresh(60)", "fresh(61)"),
]
SOMETHING: list[Edit] = [
    ("shop/pipeline.py", "late(1)", "late(2)"),
    ("shop/steps.py", "math.sqrt(x) if", "math.exp(x) if"),
    ("shop/steps.py", "FACTOR = 2", "FACTOR = 3"),
    ("shop/steps.py", '"x+"', '"x*"'),
    ("shop/steps.py", "[1, 2]", "[1, 3]"),
    ("shop/deep/prices.py", "RATE = 1.5", "RATE = 1.25"),
    ("shop/deep/prices.py", "return round(x)", "return round(x, 1)"),
    ("shop/deep/prices.py", "euros: float", "euros: int"),
    ("shop/late.py", "x + LATER", "x - LATER"),
    ("shop/deep/later.py", "LATER = 1", "LATER = 2"),
    ("side.py", "return x", "return -x"),
]


def test_the_same_code_has_the_same_digest_wherever_it_lies(loaded: Loaded) -> None:
    one, other = loaded(), loaded()
    assert digests(one) == digests(other)
    assert one.version_digest == other.version_digest
    assert one.version == one.version_digest[:12]


@pytest.mark.parametrize("edit", NOTHING)
def test_what_code_does_not_do_changes_no_key(edit: Edit, loaded: Loaded) -> None:
    assert digests(loaded(edit)) == digests(loaded())


@pytest.mark.parametrize("edit", SOMETHING)
def test_whatever_a_stage_calls_or_reads_changes_its_key_and_no_others(edit: Edit, loaded: Loaded) -> None:
    (work, source), (changed, same) = digests(loaded()), digests(loaded(edit))
    assert changed != work
    assert same == source


@pytest.mark.parametrize(
    "edit",
    [
        ("shop/pipeline.py", "timeout_s=10", "timeout_s=20"),
        ("shop/pipeline.py", "max_attempts=2", "max_attempts=3"),
        ("shop/pipeline.py", "fresh(60)", "fresh(61)"),
        ("shop/pipeline.py", "fresh(60)", 'fresh(60, name="new")'),
        ("shop/pipeline.py", "output > 0", "output >= 0"),
        ("shop/pipeline.py", "def source()", "def source(x: int = 1)"),
        ("shop/steps.py", "FACTOR = 2", "FACTOR = 3"),
    ],
)
def test_a_version_covers_code_settings_and_gates(edit: Edit, loaded: Loaded) -> None:
    assert loaded(edit).version_digest != loaded().version_digest


def test_every_process_works_out_the_same_version(loaded: Loaded, tmp_path: Path) -> None:
    version = loaded().version_digest
    code = "from stages import load; print(load('shop.pipeline:pipe').version_digest)"
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(tmp_path / "0" / "site-packages")])
    for seed in "1", "2":
        settings = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / "0", env=settings, capture_output=True, timeout=60
        )
        assert done.stdout.decode().strip() == version, done.stderr.decode()


def test_where_an_object_lies_in_memory_is_in_no_digest() -> None:
    one, other = np.random.default_rng(0), np.random.default_rng(0)
    assert value_digest(one, "shop") == value_digest(other, "shop")
    assert value_digest(np.dtype("int8"), "shop") != value_digest(np.dtype("int16"), "shop")


def test_an_edited_comment_is_no_new_version(loaded: Loaded) -> None:
    assert loaded(NOTHING[0], NOTHING[1]).version_digest == loaded().version_digest


# Loading.


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shop.pipeline", "write it as package.module:name"),
        (":pipe", "write it as"),
        ("shop.pipelin:pipe", "there is no module 'shop.pipelin'"),
        ("shopp:pipe", "there is no module 'shopp'"),
        ("shop.pipeline:pip", r"'pip' is not there; its pipelines are pipe \(did you mean 'pipe'\?\)"),
        ("shop.pipeline:work", "'work' is a Stage, not a Pipeline"),
        ("shop.steps:pipe", "it holds no pipeline"),
    ],
)
def test_a_wrong_name_says_what_there_is(spec: str, message: str, loaded: Loaded) -> None:
    loaded()
    with pytest.raises(InvalidPipeline, match=message):
        load(spec)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("shop/steps.py", "import re\n", "import no_such_package\n"), "shop.pipeline needs 'no_such_package'"),
        (("shop/steps.py", "FACTOR = 2", "FACTOR = 2 +"), r"importing shop.pipeline failed: SyntaxError.*steps\.py"),
        (("shop/steps.py", "FACTOR = 2", "FACTOR = 1 / 0"), r"ZeroDivisionError.*steps\.py:7"),
        (("shop/pipeline.py", "source: int", "sauce: int"), r"pipeline\.py:17: stage 'work': no stage is called like"),
    ],
)
def test_a_module_that_does_not_import_says_why_and_where(edit: Edit, message: str, loaded: Loaded) -> None:
    with pytest.raises(InvalidPipeline, match=message):
        loaded(edit)


def test_a_loaded_pipeline_knows_its_name(loaded: Loaded) -> None:
    assert loaded().spec == "shop.pipeline:pipe"


def test_a_stage_is_not_made_of_the_stages_whose_output_it_takes(loaded: Loaded) -> None:
    before = loaded().plan.stages
    after = loaded(
        ("shop/pipeline.py", "def source() -> int:\n    return 1", "def source() -> int:\n    return 2")
    ).plan.stages
    assert before["source"].code_digest != after["source"].code_digest
    assert before["work"].code_digest == after["work"].code_digest


def test_a_parameter_hides_what_is_called_like_it_in_its_function_only() -> None:
    source = read_object(shadowing)
    assert "hidden" not in source.names
    assert {"seen", "Callable", "default"} <= set(source.names)


hidden = seen = default = 1


def shadowing(hidden: Callable[..., int], x: int = default) -> int:
    inner = lambda seen: seen + hidden(x)  # noqa: E731
    return inner(seen)
