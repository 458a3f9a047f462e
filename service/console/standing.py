"""Which role each page and form takes, where it is not the usual one."""

from __future__ import annotations

from collections.abc import Mapping

from service.callers import Right

PAGES: Mapping[str, Right] = {"/audit": Right.ADMIN}
# Whoever is signed in may sign out.
FORMS: Mapping[str, Right | None] = {"runs/{run}/gates/{gate}": Right.APPROVER, "sign-out": None}


def needed_to_look(path: str) -> Right:
    """The role a page takes: a viewer's, if nothing else is said."""
    return PAGES.get(path, Right.VIEWER)


def needed_to_act(path: str) -> Right | None:
    """The role a form takes: an operator's, if nothing else is said."""
    return FORMS.get(path, Right.OPERATOR)
