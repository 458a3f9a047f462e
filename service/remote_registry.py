"""The models of a daemon elsewhere, for a stage that runs as a command of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.client import ApiError, Client
from stages.registry import AliasMoved, ModelVersion, NewVersion

CONFLICT = 409


class RemoteRegistry:
    """Implements `stages.registry.Registry` over HTTP. Every call may raise `ApiError` and `DaemonUnavailable`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        """See `Registry`. A run that no daemon knows of, number 0, is not told."""
        version = {
            "artifacts": dict(new.artifacts),
            "metrics": dict(new.metrics),
            "lineage": dict(new.lineage),
            "run_id": new.run_id or None,
            "pipeline": new.pipeline,
        }
        return _version(await asyncio.to_thread(self._client.register_version, new.model, version, idempotency_key))

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        """See `Registry`."""
        found = await asyncio.to_thread(self._client.alias, model, alias)
        return None if found is None else _version(found)

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        """See `Registry`. Raises `AliasMoved`."""
        try:
            return _version(await asyncio.to_thread(self._client.move_alias, model, alias, version, expect))
        except ApiError as error:
            if error.status == CONFLICT:
                raise AliasMoved(str(error)) from error
            raise


def _version(answer: Mapping[str, Any]) -> ModelVersion:
    return ModelVersion(
        model=answer["model"],
        version=answer["version"],
        state=answer["state"],
        artifacts=answer["artifacts"],
        metrics=answer["metrics"],
        lineage=answer["lineage"],
        run_id=answer["run_id"],
        pipeline=answer["pipeline"],
        created_at=datetime.fromisoformat(answer["created_at"]),
    )
