"""Why a run failed, in words that name the place once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def failed_in(failure: Mapping[str, Any]) -> str:
    """The stage a run failed in; nothing, where the whole run did, and where the reason names the gate it was."""
    stage = str(failure.get("stage") or "")
    return "" if str(failure.get("reason") or "").startswith(f"gate {stage}: ") else stage


def failed_why(failure: Mapping[str, Any], raised: str | None = None) -> str:
    """Where and why a run failed; what was raised says more than how that was judged."""
    return ": ".join(part for part in (failed_in(failure), raised or failure.get("reason")) if part)
