"""Which trigger somebody means."""

from __future__ import annotations

import difflib

from service.catalogue import Catalogue
from service.errors import Invalid, NotFound
from triggers.base import Binding


def which(catalogue: Catalogue, name: str) -> Binding:
    """The trigger called `name`: `pipeline/trigger`, the trigger's own name where only one has it, or a pipeline's
    where it has only one trigger.

    Raises `NotFound` with the nearest names, and `Invalid` where several are meant.
    """
    by_name = {one.name: one for one in catalogue.bindings()}
    if name in by_name:
        return by_name[name]
    meant = [one for one in by_name.values() if one.trigger.name == name]
    if len(meant) == 1:
        return meant[0]
    if meant:
        full = sorted(one.name for one in meant)
        raise Invalid(f"{name!r} is a trigger of several pipelines: say which of {', '.join(full)}")
    mine = sorted(one.name for one in by_name.values() if one.pipeline == name)
    if len(mine) == 1:
        return by_name[mine[0]]
    if mine:
        raise Invalid(f"{name!r} is a pipeline with several triggers: say which of {', '.join(mine)}")
    raise NotFound(f"no trigger is called {name[:200]!r}{_nearest(name, by_name)}: `tidemill triggers` lists them")


def _nearest(name: str, by_name: dict[str, Binding]) -> str:
    own = {one.trigger.name: full for full, one in by_name.items()}
    near = difflib.get_close_matches(name, [*by_name, *own], n=3, cutoff=0.5)
    found = list(dict.fromkeys(own.get(one, one) for one in near))
    return f" (did you mean {' or '.join(map(repr, found))}?)" if found else ""
