"""What an admin asks about tokens and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from service.calls import Calls, Json


class AccessCalls(Calls):
    """Part of `service.client.Client`. Every method may raise `ApiError` and `DaemonUnavailable`."""

    def make_token(self, name: str, roles: Sequence[str], pipelines: Sequence[str] = (), **wanted: Any) -> Json:
        """Make a token; the answer's `token` is told this once. See `TokenBody`."""
        body = {"name": name, "roles": list(roles), "pipelines": list(pipelines), **wanted}
        return self._ask("POST", "/api/v1/tokens", body)

    def tokens(self, limit: int = 50, before: int | None = None, revoked: bool = False) -> Json:
        """Tokens, newest first."""
        return self._get("/api/v1/tokens", limit=limit, before=before, all="true" if revoked else None)

    def audit(self, limit: int = 50, before: int | None = None, **wanted: Any) -> Json:
        """Who did what, newest first. `who`, `action` (a part of it), `run`, `refused`, `since`, `until` choose."""
        return self._get("/api/v1/audit", limit=limit, before=before, **wanted)

    def revoke_token(self, name: str, by: str | None = None) -> Json:
        """End a token."""
        query = f"?{urlencode({'by': by})}" if by else ""
        return self._ask("DELETE", f"/api/v1/tokens/{quote(name, safe='')}{query}")
