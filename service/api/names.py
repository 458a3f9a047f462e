"""Routes by names that may hold anything: a `/` in one is written `%2F`, and ends no part of the path."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.routing import Match, Route
from starlette.types import Scope

# What no path holds (`service.api.front` refuses it) stands for such a slash while a route is looked for.
_SLASH = "\0"


class NamesRoute(Route):
    """One that looks at the path as it was sent."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `starlette.routing.BaseRoute`."""
        sent: bytes = scope.get("raw_path") or b""
        if b"%2f" not in sent.lower():
            return super().matches(scope)
        kept = sent.decode("latin-1").replace("%2F", "%00").replace("%2f", "%00")
        match, found = super().matches({**scope, "path": unquote(kept)})
        if "path_params" in found:
            found["path_params"] = {name: given.replace(_SLASH, "/") for name, given in found["path_params"].items()}
        return match, found
