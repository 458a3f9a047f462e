"""The start page: the three modes, what runs, what waits for whom, what failed, and that nothing falls in between."""

from __future__ import annotations

import re
from pathlib import Path

from service.model import RunState
from service.settings import Role
from stages.pipeline import Pipeline
from tests.db.api import PIPELINES, add, api
from tests.db.console import look, text_of
from tests.db.test_stream import ends, following, taken
from triggers.schedule import Cron, Every

clocks = Pipeline("clocks", [add], on=[Every("1h"), Cron("0 2 * * *"), Every("2h", enabled=False, name="off")])


async def test_the_figures_of_the_page_are_there_for_programs(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=(*PIPELINES, clocks)) as one:
        await one.start("sums")
        await one.start("gated", RunState.WAITING)
        told = await one.call(one.client.figures)
        assert (await one.http.get("/api/v1/now", params={"x": "1"})).status_code == 422
    assert told["unfinished"] == {"running": 0, "waiting": 1, "queued": 0, "late": 0}
    assert told["people_wait"] == {"gates": 1, "reviews": 0}
    assert (told["newest"], told["arrivals"]) == (2, {"sums/manual": 1, "gated/manual": 1})
    [latency] = told["latencies"]
    assert (latency["kind"], latency["runs"]) == ("manual", 2)
    assert 0 <= latency["p50_s"] <= latency["p99_s"]
    assert told["heard"] == [{"kind": "manual", "events": 2, "fates": {"ran": 2}}]
    assert (told["batches"], told["records_per_s"]) == ({}, {})


async def test_everything_is_seen_at_a_glance(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, *Role, pipelines=(*PIPELINES, clocks)) as one:
        await one.start("sums")
        waiting = await one.start("gated", RunState.WAITING)
        broken = await one.start("broken")
        one_page = await look(one, "/")
    told = text_of(one_page)
    for part in (
        "1 ◷ waiting",
        "2 ☞ need a person",
        "1 ✓ daemon, ready",
        "No stream is read: a pipeline reads one by KafkaBatches.",
    ):
        assert part in told, part
    assert f"gated #{waiting} for somebody to decide gate add-double" in told
    assert f"broken #{broken}" in told
    assert told.index(f"broken #{broken}") < told.index(" Scheduled ")
    assert "breaks: Permanent: it is broken" in told
    assert re.search(r"Scheduled every:1h clocks ✓ listening", told)
    assert re.search(r"next in .*?, then in .*?, then in ", told)
    assert len(re.findall(r'class="line-of-time"', one_page)) == 2
    assert "webhook:plain" in told
    assert re.search(r"manual \d+ ms \d+ ms 3", told)
    assert re.search(r"manual 3 3 ✓ ran Accepted by this daemon since it began", told)
    assert len(re.findall(r'<svg class="line-of-time"', one_page)) == 2
    assert len(re.findall(r'<rect class="coming bare"', one_page)) == 6


async def test_what_happens_after_the_page_was_read_is_told_by_its_stream(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await one.start("sums")
        page = await look(one, "/")
        second = await one.start("sums", factor=5)
        found = re.search(r'data-stream="/api/v1/stream(\?after=[\d.]+)&amp;changes=\d+"', page)
        assert found is not None
        async with following(one, found[1]) as events:
            seen = await taken(events, ends(second))
    assert {told["run"] for _, told in seen if "run" in told} >= {second}


async def test_who_has_heard_of_something_is_shown_it_at_once(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, following(one) as events:
        await look(one, "/")
        run = await one.start("sums")
        [*_, (place, _)] = await taken(events, ends(run))
        # The page of a moment ago is good for whoever has heard of nothing since.
        assert f"sums #{run}" in text_of(await look(one, "/", **{"Last-Event-ID": place}))


async def test_a_daemon_that_is_not_ready_says_why(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        one.daemon.draining = True
        told = text_of(await look(one, "/"))
    assert "not ready" in told
    assert "draining: it is stopping" in told
