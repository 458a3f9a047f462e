"""Runs as data, for tests of what is worked out from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from service.story import Story, StoryAttempt
from stages.artifacts import ArtifactRef, digest_of

AT = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)
STAGES: dict[str, dict[str, Any]] = {
    "ingest": {"inputs": [], "takes_params": True},
    "features": {"inputs": ["ingest"]},
    "train": {"inputs": ["features"], "takes_params": True},
}
GATE = {"name": "features-train", "source": "features", "target": "train", "check": "row_count"}


def artifact(content: str) -> ArtifactRef:
    """What a stage that made this content stored."""
    return ArtifactRef(digest_of(content.encode()), "json", len(content))


def definition(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """A pipeline of three stages; `changes` are laid over what is told of the stages they name."""
    told = []
    for name, settings in STAGES.items():
        plain = {"name": name, "code_digest": f"code of {name}", "environment_digest": None, "reuse": "always"}
        nothing = {"expires_s": None, "takes_params": False, "takes_event": False, "optional": [], "after": []}
        told.append(plain | nothing | settings | dict(changes.get(name, {})))
    return {"stages": told, "gates": [GATE], "params": {"properties": {"month": {}, "trees": {}}}}


def attempt(stage: str, content: str | None = None, **more: Any) -> StoryAttempt:
    """A try that succeeded with this content, or whatever `more` says."""
    settled: dict[str, Any] = {
        "stage": stage,
        "attempt": 1,
        "state": "succeeded" if content is not None else "failed",
        "version": "v1",
        "started_at": AT,
        "finished_at": AT + timedelta(seconds=2),
        "output": artifact(content) if content is not None else None,
    }
    return StoryAttempt(**settled | more)


def story(run_id: int, *attempts: StoryAttempt, **more: Any) -> Story:
    """A run of these attempts."""
    settled: dict[str, Any] = {
        "id": run_id,
        "pipeline": "flights",
        "version": "v1",
        "trigger": "manual",
        "state": "succeeded",
        "params": {"month": 6, "trees": 50},
        "event_key": f"event {run_id}",
        "event": {"source": "tests", "id": str(run_id), "type": "test", "time": AT.isoformat()},
        "accepted_at": AT,
        "queued_at": AT,
        "started_at": AT,
        "finished_at": AT + timedelta(seconds=6),
        "definitions": {"v1": definition()},
        "attempts": attempts,
    }
    return Story(**settled | more)


def whole(run_id: int, tag: str = "", **more: Any) -> Story:
    """A run whose stages all made something of their own name and `tag`."""
    return story(run_id, *(attempt(name, f"{name}{tag}") for name in STAGES), **more)
