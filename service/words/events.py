"""What people call an event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def event_name(event: Mapping[str, Any], pipeline: str = "") -> str:
    """An event by its id, and what it is about where that says more than the id and the pipeline."""
    name, subject = str(event["id"]), event["subject"]
    return f"{name} ({subject})" if subject and subject != pipeline and subject not in name else name
