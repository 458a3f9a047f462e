"""Triggers: what each needs of this machine is there."""

from __future__ import annotations

from collections.abc import Sequence

from service.catalogue import Catalogue
from service.checkup.finding import Finding, fine, problem, warning
from service.settings import Settings
from triggers.base import Binding
from triggers.errors import InvalidTrigger
from triggers.webhook import hooks


def check(settings: Settings, catalogue: Catalogue) -> list[Finding]:
    """Ask each trigger what it waits for; hooks must have their secrets, and agree where several share one."""
    found = _hooks(list(catalogue.bindings()))
    for binding in catalogue.bindings():
        if not binding.trigger.enabled:
            found.append(fine("triggers", f"{binding.name} is switched off"))
        else:
            found += [warning("triggers", f"{binding.name}: {one}") for one in binding.trigger.lacks(settings.root)]
    count = sum(1 for _ in catalogue.bindings())
    return found or [fine("triggers", f"{count} declared, with all that they need" if count else "none is declared")]


def _hooks(bindings: Sequence[Binding]) -> list[Finding]:
    """Each hook by itself, so that every missing secret is told, and then all of them together."""
    found = [one for binding in bindings for one in _hook([binding])]
    return found or _hook(bindings)


def _hook(bindings: Sequence[Binding]) -> list[Finding]:
    try:
        hooks(bindings)
    except InvalidTrigger as error:
        return [problem("triggers", f"{bindings[0].name if len(bindings) == 1 else 'hooks'}: {error}")]
    return []
