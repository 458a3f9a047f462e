"""Loading a pipeline by its name, `package.module:name`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from stages.errors import InvalidPipeline, StageError
from stages.pipeline import Pipeline
from stages.problems import nearest, place_of_error
from triggers.errors import TriggerError

# What a module of the author's may raise while it is imported, short of what ends the process.
_OF_A_MODULE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    StageError,
    SyntaxError,
    TriggerError,
    TypeError,
    ValueError,
)


def load(spec: str) -> Pipeline:
    """The pipeline `package.module:name`, importable from the working folder, with its version worked out.

    Raises `InvalidPipeline` saying what is missing and what there is instead.
    """
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise InvalidPipeline(f"pipeline {spec!r}: write it as package.module:name")
    module = _module(spec, module_name)
    there = sorted(key for key, value in vars(module).items() if isinstance(value, Pipeline))
    found = getattr(module, name, None)
    if not isinstance(found, Pipeline):
        has = f"its pipelines are {', '.join(there)}" if there else "it holds no pipeline"
        what = "is not there" if found is None else f"is a {type(found).__name__}, not a Pipeline"
        raise InvalidPipeline(f"pipeline {spec!r}: {name!r} {what}; {has}{nearest(name, there)}")
    found.spec = spec
    found.version_digest  # noqa: B018  # reads the code while it is what was imported
    return found


def _module(spec: str, name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except InvalidPipeline:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidPipeline(
                f"pipeline {spec!r}: there is no module {error.name!r} in {here} or among the installed packages"
            ) from None
        raise InvalidPipeline(f"pipeline {spec!r}: {name} needs {error.name!r}: is it installed?") from error
    except _OF_A_MODULE as error:
        raise InvalidPipeline(
            f"pipeline {spec!r}: importing {name} failed: {type(error).__name__}: {error} ({place_of_error(error)})"
        ) from error
