"""A pipeline that hooks start, of two stages."""

from __future__ import annotations

from stages import Event, Pipeline, stage
from triggers import Webhook


@stage
def read(event: Event) -> int:
    return int(event.data["n"])


@stage
def double(read: int) -> int:
    return 2 * read


counted = Pipeline("counted", [read, double], on=[Webhook("counted")])
