"""What a client asks of lists by name: pipelines, triggers and models."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from service.calls.base import Calls, Json, part

PAGE = 500


class ListedCalls(Calls):
    """Part of `service.calls.everything.AllCalls`. `next` of an answer is `after` of the next page."""

    async def pipelines(self, limit: int | None = None, after: str | None = None) -> Json:
        """The pipelines the daemon has loaded."""
        return await self._get("/api/v1/pipelines", limit=limit, after=after)

    async def triggers(self, limit: int | None = None, after: str | None = None) -> Json:
        """Triggers: the state of each, when it is due, when it last saw something, its lag."""
        return await self._get("/api/v1/triggers", limit=limit, after=after)

    async def models(self, limit: int | None = None, after: str | None = None) -> Json:
        """Registered models and their aliases."""
        return await self._get("/api/v1/models", limit=limit, after=after)

    async def aliases(self, model: str, limit: int | None = None, after: str | None = None) -> Json:
        """A model's aliases, and where they point."""
        return await self._get(f"/api/v1/models/{part(model)}/aliases", limit=limit, after=after)

    def each_pipeline(self) -> AsyncGenerator[Json, None]:
        """All pipelines that `pipelines` would list, page by page."""
        return self._each("pipelines")

    def each_trigger(self) -> AsyncGenerator[Json, None]:
        """All triggers that `triggers` would list, page by page."""
        return self._each("triggers")

    def each_model(self) -> AsyncGenerator[Json, None]:
        """All models that `models` would list, page by page."""
        return self._each("models")

    def each_alias(self, model: str) -> AsyncGenerator[Json, None]:
        """All aliases that `aliases` would list, page by page."""
        return self._each("aliases", f"models/{part(model)}/aliases")

    async def _each(self, what: str, path: str = "") -> AsyncGenerator[Json, None]:
        after: str | None = None
        while True:
            page = await self._get(f"/api/v1/{path or what}", limit=PAGE, after=after)
            for one in page[what]:
                yield one
            if (after := page.get("next")) is None:
                return
