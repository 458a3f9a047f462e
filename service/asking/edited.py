"""A trigger of a pipeline file that no daemon has loaded. Its code runs in the process that asks."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from service.asking.which import which
from service.catalogue import Catalogue
from service.errors import Invalid
from stages.pipeline import Pipeline
from triggers.base import Trigger


def edited_trigger(spec: str, name: str) -> tuple[Pipeline, Trigger]:
    """The pipeline `FILE.py:NAME`, and its trigger called `name` (`pipeline/trigger`, or the trigger's own name).

    Raises `Invalid` or `NotFound`; whatever else the file raises is its author's.
    """
    file, _, variable = spec.rpartition(":")
    path = Path(file).resolve()
    if not file or not variable or not path.is_file():
        raise Invalid(f"--file {spec!r}: write it as FILE.py:NAME, a file that is there and a pipeline in it")
    found = getattr(_loaded(path), variable, None)
    if not isinstance(found, Pipeline):
        raise Invalid(f"--file {spec!r}: {path.name} has no pipeline {variable!r}")
    return found, which(Catalogue({found.name: found}, {found.name: spec}), name).trigger


def _loaded(path: Path) -> object:
    """The module in a file, with the folder it lies in and the working folder to import from."""
    for folder in (str(path.parent), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    # A name of its own, so that it stands in the way of no module of its author's.
    described = importlib.util.spec_from_file_location(f"tidemill_edited_{path.stem}", path)
    if described is None or described.loader is None:
        raise Invalid(f"--file: {path} is no Python file")
    module = importlib.util.module_from_spec(described)
    sys.modules[described.name] = module
    try:
        described.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise Invalid(f"--file: {path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    return module
