"""What `tidemill top` draws, on a wide terminal and on a narrow one."""

from __future__ import annotations

import io
import re
from typing import Any

from rich.console import Console

from service.cli.views.top import STATES, Glance, drawn
from tests.unit.test_cli_views import AT, EVENT, NOW, RUN


def test_the_top_says_when_a_schedule_last_ticked_and_when_it_does_next() -> None:
    trigger = {"name": "a/cron", "kind": "cron", "state": "listening", "note": "", "lag_records": None}
    never = trigger | {"name": "b/cron", "last_seen_at": None, "next_due_at": "2026-03-05T12:05:00+00:00"}
    ticked = trigger | {"last_seen_at": AT, "next_due_at": "2026-03-05T12:05:00+00:00"}
    runs: dict[str, list[dict[str, Any]]] = {state: [] for state in STATES}
    latency = {"kind": "kafka-batches", "runs": 7, "p50_s": 0.004, "p99_s": 0.02}
    found: Glance = {
        "at": NOW.isoformat(),
        "now": {
            "newest": 9,
            "people_wait": {"gates": 1, "reviews": 1_200},
            "arrivals": {"b/cron": 2},
            "batches": {ticked["name"]: [5, 1200]},
            "records_per_s": {ticked["name"]: 431.2},
            "latencies": [latency],
        },
        "ready": {"ready": True, "checks": {}},
        "triggers": [ticked, never],
        "runs": runs,
        "reviews_open": 0,
    }
    written = io.StringIO()
    Console(file=written, width=200).print(drawn(found))
    told = written.getvalue()
    assert "last 3 min ago, next in 5 min" in told
    assert told.count("last 3 min ago") == 1
    assert told.count("next in 5 min") == 2
    assert "431 records/s, batches of 5 to 1,200" in told
    assert "2 of the last 9 runs" in told
    assert "ready  1 gate and 1,200 failed runs wait for a person" in told
    assert "kafka-batches  half within 4 ms, 99 of 100 within 20 ms  of 7 runs" in told


def test_the_top_names_runs_and_states_also_where_the_terminal_is_narrow() -> None:
    name = "flights_live/kafka-batches:flights.live"
    trigger = {"name": name, "kind": "kafka-batches", "state": "listening", "note": "n" * 90, "lag_records": 180}
    trigger |= {"last_seen_at": AT, "next_due_at": None}
    event = EVENT | {"subject": None, "id": "landing/flights/" + "x" * 90}
    run = RUN | {
        "state": "waiting",
        "failure": None,
        "waits_for": "somebody to decide gate register-deploy",
        "event": event,
    }
    figures = {"newest": 9, "arrivals": {}, "batches": {name: [220]}, "records_per_s": {name: 20.0}, "latencies": []}
    figures |= {"people_wait": {"gates": 1, "reviews": 0}}
    found: Glance = {
        "at": NOW.isoformat(),
        "now": figures,
        "ready": {"ready": True, "checks": {}},
        "triggers": [trigger],
        "runs": {state: [run] if state == "waiting" else [] for state in STATES},
        "reviews_open": 0,
    }
    written = io.StringIO()
    Console(file=written, width=80).print(drawn(found))
    lines = written.getvalue().splitlines()
    heard = next(line for line in lines if line.startswith("flights_l"))
    assert re.search("listening +180 behind +20 .*last 3 min ago", heard)
    [told] = [line for line in lines if line.startswith(f"#{run['id']} ")]
    assert re.search("flights +waiting .*landing/.*waits for", told)
    assert max(map(len, lines)) <= 80
