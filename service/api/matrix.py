"""Which role every address takes: the table in docs/access.md, made from what is declared beside each."""

from __future__ import annotations

from collections.abc import Iterator

from service.api.access import ACT
from service.api.endpoint import Endpoint
from service.api.intake import HOOKS
from service.api.openapi import shown_path
from service.api.routes import ENDPOINTS
from service.callers import Right
from service.console.pages import FORMS, PAGES
from service.console.standing import needed_to_act, needed_to_look

ANYBODY = "nobody is asked"
SIGNED_IN = "whoever is signed in"
BY_SIGNATURE = "operator, or the sender's signature"


def takes() -> Iterator[tuple[str, str, str]]:
    """Method, address, and what it takes: the API first, then pages and forms of the console."""
    for endpoint in sorted(ENDPOINTS, key=lambda one: (shown_path(one), one.method)):
        yield endpoint.method, shown_path(endpoint), _of(endpoint)
    for path, _ in PAGES:
        yield "GET", path.replace(":path", ""), needed_to_look(path).value
    for path, _ in FORMS:
        needed = needed_to_act(path)
        yield "POST", ACT + path, SIGNED_IN if needed is None else needed.value


def _of(endpoint: Endpoint) -> str:
    needed: Right | None = endpoint.needs
    if needed is None:
        return ANYBODY
    return BY_SIGNATURE if endpoint.path.startswith(HOOKS) else needed.value


def table() -> str:
    """All of it, as Markdown."""
    rows = [f"| `{method} {path}` | {needed} |" for method, path, needed in takes()]
    return "\n".join(["| address | takes |", "| --- | --- |", *rows])


if __name__ == "__main__":
    print(table())
