"""What people call an event."""

from __future__ import annotations

import pytest

from service.words.events import event_name


@pytest.mark.parametrize(
    ("event_id", "subject", "pipeline", "name"),
    [
        ("2/220-419", "flights.live/2", "flights", "2/220-419 (flights.live/2)"),
        ("flights-2013-02.parquet", "flights", "flights", "flights-2013-02.parquet"),
        ("flights-2013-02.parquet", "flights", "", "flights-2013-02.parquet"),
        ("1", "flights", "flights", "1"),
        ("1", None, "flights", "1"),
        ("1", "", "", "1"),
    ],
)
def test_an_event_is_called_by_its_id_and_what_more_its_subject_says(
    event_id: str, subject: str | None, pipeline: str, name: str
) -> None:
    assert event_name({"id": event_id, "subject": subject}, pipeline) == name
