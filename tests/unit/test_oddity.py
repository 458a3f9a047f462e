"""A mistake in the reader of one record costs that record: it is dead, or refused, and the log says where."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.test_odd_values import Record
from triggers import KafkaArrivals, ObjectTopic
from triggers.base import Binding, Fate
from triggers.delivery import Delivery
from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.kafka.records import event_of
from triggers.match import offer
from triggers.objects.topics import arrivals_of
from triggers.webhook import Webhook, admit, receive

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Surprising(KafkaArrivals):
    """A trigger of somebody's own, with a mistake."""

    def passes_over(self, event: Event) -> str | None:
        raise KeyError("forgotten")


class SurprisingReader:
    """A reader of somebody's own, with a mistake."""

    async def read(self, delivery: Delivery) -> Sequence[Event]:
        raise AttributeError("forgotten")


async def test_a_mistake_in_a_reader_costs_one_event_and_is_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprised(*given: Any) -> Any:
        raise TypeError("forgotten")

    why = "this cannot be read: TypeError: forgotten"
    record = Record(b"{}")
    event, dead = event_of(record, "s", NOW, surprised)
    assert (event.data, dead) == (b"{}", why)
    made = offer(Binding("p", Surprising("t")), event)
    assert (made.fate, made.reason) == (Fate.DEAD, "this cannot be read: KeyError: 'forgotten'")
    monkeypatch.setattr("triggers.objects.topics.read", surprised)
    [arrival] = arrivals_of(record, "s", NOW, [Binding("p", ObjectTopic("t"))])
    assert (arrival.event.data, arrival.offers[0].fate, arrival.offers[0].reason) == ({}, Fate.DEAD, why)
    delivery = Delivery(hook="h", headers={}, body=b"{}", received_at=NOW)
    with pytest.raises(InvalidEvent, match="cannot be read") as refused:
        await receive(Webhook("h", read=SurprisingReader()), delivery)
    assert refused.value.status == 422
    scheme: Any = SimpleNamespace(verify=surprised, sender=None, delivery_headers=(), check=lambda: None)
    with pytest.raises(InvalidEvent, match="cannot be read") as refused:
        admit(Webhook("h", verify=scheme), delivery)
    assert refused.value.status == 401
    assert len(caplog.records) == 5
    assert all(one.exc_info for one in caplog.records)
