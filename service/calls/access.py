"""What an admin asks about tokens and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.calls.base import Calls, Json, asked, part


class AccessCalls(Calls):
    """Part of `service.calls.everything.AllCalls`."""

    async def make_token(
        self, /, name: str, roles: Sequence[str], pipelines: Sequence[str] = (), **wanted: Any
    ) -> Json:
        """Make a token; the answer's `token` is told this once. See `TokenBody`."""
        body = {"name": name, "roles": list(roles), "pipelines": list(pipelines), **wanted}
        return await self._post("/api/v1/tokens", body)

    async def tokens(self, limit: int = 50, before: int | None = None, revoked: bool = False) -> Json:
        """Tokens, newest first."""
        return await self._get("/api/v1/tokens", limit=limit, before=before, all="true" if revoked else None)

    async def audit(self, /, limit: int = 50, before: int | None = None, **wanted: Any) -> Json:
        """Who did what, newest first. `who`, `action` (a part of it), `run`, `refused`, `since`, `until` choose."""
        return await self._get("/api/v1/audit", limit=limit, before=before, **wanted)

    async def end_sessions(self, person: str | None = None, by: str | None = None) -> Json:
        """End the browsers' sessions of somebody, by name or subject at the provider; None: of everybody."""
        path = "/api/v1/sessions" + (f"/{part(person)}" if person is not None else "")
        return await self._ask("DELETE", asked(path, {"by": by}))

    async def revoke_token(self, name: str, by: str | None = None) -> Json:
        """End a token."""
        return await self._ask("DELETE", asked(f"/api/v1/tokens/{part(name)}", {"by": by}))
