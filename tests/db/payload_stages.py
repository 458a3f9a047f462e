"""Stages that tell the secrets of their event in every way they can."""

from __future__ import annotations

import logging

from pydantic import BaseModel

from stages import Event, Permanent, Pipeline, Retry, StageContext, stage
from stages.gates.base import GateContext, GateResult
from triggers.cloudevents import CloudEvents
from triggers.coalesce import Batch
from triggers.webhook import Webhook

MARKED = ("data.token", "data.card.number", "data.items.pin")


class Order(BaseModel):
    """What the triggers fill."""

    customer: str = ""
    works: bool = False


def spoken(event: Event) -> str:
    """All of it; a payload that is no object is told whole."""
    data = event.data
    if not isinstance(data, dict):
        return str(data)
    pins = " ".join(str(one["pin"]) for one in data.get("items", ()))
    return f"{data['token']} {data['card']['number']} {pins}"


@stage(reuse="run", retry=Retry(max_attempts=1))
async def pays(event: Event, params: Order, context: StageContext) -> int:
    told = spoken(event)
    context.logger.info("paying with %s", told, extra={"told": told})
    logging.getLogger("library").warning("headers %s", told)
    print(f"printed {told!r}")
    context.progress(0.5, f"at {told}")
    if not params.works:
        raise Permanent(f"refused {told}")
    if isinstance(event.data, dict):
        context.emit("paid", event.data, subject="order")
    return len(told)


@stage(reuse="run")
async def ships(pays: int) -> int:
    return pays


@stage(reuse="run")
async def counts(event: Event, events: list[Event], context: StageContext) -> int:
    context.logger.info("counting %s", " ".join(map(spoken, events)))
    return len(events)


@stage
async def ships_alone(event: Event) -> int:
    return 1


def agrees(context: GateContext) -> GateResult:
    """A gate that tells them too."""
    told = spoken(context.event)
    return GateResult.of(True, f"agreed to {told}", {"with": told})


TAKES = {"customer": "data.customer", "works": "data.works"}
inline = Pipeline(
    "inline_orders",
    [pays, ships],
    gates={("pays", "ships"): agrees},
    on=[
        Webhook("orders", params=TAKES, secrets=MARKED),
        CloudEvents(where={"type": "order"}, params=TAKES, secrets=MARKED),
    ],
)
process = Pipeline(
    "process_orders",
    [pays, ships],
    gates={("pays", "ships"): agrees},
    runner="process",
    on=[CloudEvents(where={"type": "order"}, params=TAKES)],
)
gathers = Pipeline(
    "gathers_orders",
    [counts],
    on=[CloudEvents(where={"type": "order"}, coalesce=Batch(2, 60), name="batches")],
)
letters = Pipeline("letters", [pays, ships], on=[CloudEvents(where={"type": "letter"})])
PIPELINES = (inline, process, gathers, letters)
