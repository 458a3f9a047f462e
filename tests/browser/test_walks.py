"""What people come to the console for, done as they do it: in a browser, on a daemon of its own process."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from playwright.async_api import Route

from tests.browser.pipelines import FLOUR
from tests.browser.walking import Walk, browsing, overflowing, posted, served, walking
from tests.browser.world import BREAD, DAILY, predicted

TOKEN = "a-long-random-text-for-walks"
FOCUSED = "() => document.activeElement.href"


@asynccontextmanager
async def with_flour(database: str, tmp_path: Path) -> AsyncIterator[tuple[str, Walk]]:
    """A daemon that can bake bread, and somebody who looks at it."""
    flour = tmp_path / "flour"
    flour.write_text("2 3")
    async with (
        served(database, tmp_path, BREAD, **{FLOUR: str(flour)}) as base,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        yield base, walk


async def test_a_run_is_watched_live_approved_and_its_model_asked(database: str, tmp_path: Path) -> None:
    async with with_flour(database, tmp_path) as (base, walk):
        await walk.to("/")
        await walk.sees("No run yet")
        await posted(base, "/hooks/flour", {"kind": "wheat"})
        # The page was not loaded again: the run came to it, and that somebody is needed.
        await walk.page.locator("#people-wait .count").wait_for()
        await walk.page.locator("#now a", has_text="bread #1").first.click()
        await walk.page.locator("#graph .lying .gate.wait").wait_for()
        # Nothing happens, and yet it goes on.
        lasts = walk.page.locator("#head time[data-lasts]")
        await lasts.filter(has_not_text=await lasts.inner_text()).wait_for()
        await walk.name()
        await walk.press("Approve")
        await walk.sees("kim has approved gate register-deploy of run 1: it is passed.")
        await walk.page.locator("h1", has_text="succeeded").wait_for()
        await walk.follow("logs")
        await walk.sees("read flour")
        await walk.to("/models/bread/versions/1")
        await walk.sees("production")
        assert await predicted(base) == 15
        await walk.to("/models/bread/versions/1")
        await walk.sees("It has answered 1, the first")
        await walk.follow("Lineage: from the event to this version")
        await walk.sees("1 answer")
        await walk.to("/system")
        await walk.sees("database.url")


async def test_a_failed_run_tells_why_and_is_resumed(database: str, tmp_path: Path) -> None:
    flour = tmp_path / "flour"
    async with (
        served(database, tmp_path, BREAD, **{FLOUR: str(flour)}) as base,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        await walk.to("/reviews")
        await posted(base, "/hooks/flour", {"kind": "wheat"})
        await walk.page.locator("main a", has_text="bread #1").first.click()
        await walk.sees("Permanent: no flour at flour: lay it there")
        await walk.page.get_by_role("link", name="traceback").click()
        await walk.unfold("Traceback")
        await walk.sees("raise Permanent")
        flour.write_text("1")
        await walk.follow("Resume…")
        await walk.sees("What that does")
        await walk.name()
        await walk.press("Resume")
        await walk.sees("kim has resumed run 1.")
        await walk.page.locator("h1", has_text="waiting").wait_for()


async def test_who_follows_a_log_is_told_that_the_run_was_cancelled(database: str, tmp_path: Path) -> None:
    async with with_flour(database, tmp_path) as (base, walk):
        await posted(base, "/hooks/flour", {"kind": "wheat"})
        await walk.run_is(1, "waiting")
        await walk.to("/runs/1/logs")
        await walk.sees("following")
        await posted(base, "/api/v1/runs/1/cancel", {"by": "kim"})
        await walk.sees("the run was cancelled")


async def test_an_event_that_ran_nothing_says_why(database: str, tmp_path: Path) -> None:
    async with (
        served(database, tmp_path, BREAD, **{FLOUR: "none"}) as base,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        await posted(base, "/hooks/flour", {"kind": "oats"})
        await walk.to("/events")
        await walk.page.get_by_label("Fate").select_option("ignored")
        await walk.page.wait_for_url("**/events?fate=ignored")
        await walk.page.locator("#events a").first.click()
        await walk.page.wait_for_url("**/events/**")
        await walk.sees(re.compile('data.kind is "oats"'))
        await walk.follow("Explain: what would become of it now")
        await walk.sees("New, it would start nothing.")


async def test_a_week_is_backfilled_and_its_progress_seen(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, DAILY) as base, browsing() as browser, walking(browser, base) as walk:
        await walk.to("/schedules")
        await walk.page.locator("main a", has_text="cron").first.click()
        await walk.follow("Backfill…")
        await walk.page.get_by_label("From (day)").fill("2026-01-05")
        await walk.page.get_by_label("To (day").fill("2026-01-11")
        await walk.press("Show what it would do")
        await walk.sees("7 would run.")
        await walk.name()
        await walk.press("Begin the backfill")
        await walk.page.locator("h1", has_text="succeeded").wait_for()
        await walk.sees("7 of 7 ticks gone over")


async def test_a_page_whose_streams_were_refused_comes_back(database: str, tmp_path: Path) -> None:
    flour = tmp_path / "flour"
    flour.write_text("2 3")
    refused: Counter[str] = Counter()

    async def refuse_first(route: Route) -> None:
        """What a proxy answers while the daemon starts anew; twice, as a browser by itself does not come again."""
        path = route.request.url.partition("?")[0]
        refused[path] += 1
        await (route.fulfill(status=503) if refused[path] <= 2 else route.continue_())

    async with (
        served(database, tmp_path, BREAD, **{FLOUR: str(flour)}) as base,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        await walk.page.route(re.compile("/api/v1/stream|/logs.*follow"), refuse_first)
        await walk.to("/runs")
        await posted(base, "/hooks/flour", {"kind": "wheat"})
        await walk.page.locator("#runs a", has_text="bread #1").first.wait_for()
        await walk.to("/runs/1/logs")
        await walk.sees("following")
        assert min(refused.values()) > 2
        assert all("503" in one for one in walk.wrong)
        walk.wrong.clear()


async def test_what_comes_anew_above_takes_no_focus(database: str, tmp_path: Path) -> None:
    async with (
        served(database, tmp_path, BREAD, **{FLOUR: "none"}) as base,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        await posted(base, "/hooks/flour", {"kind": "wheat", "sack": 1})
        for sack, path in enumerate(("/runs", "/events", "/"), 2):
            await walk.to(path)
            newest = walk.page.locator("#main [data-live] a", has_text=f"bread #{sack - 1}").first
            await newest.focus()
            told = await walk.page.evaluate(FOCUSED)
            await posted(base, "/hooks/flour", {"kind": "wheat", "sack": sack})
            await walk.page.locator("#main a", has_text=f"bread #{sack}").first.wait_for()
            assert await walk.page.evaluate(FOCUSED) == told, path


async def test_a_page_says_that_its_reader_was_signed_out(database: str, tmp_path: Path) -> None:
    admin = {"Authorization": "Bearer holder"}
    async with (
        served(database, tmp_path, DAILY, TIDEMILL_API_TOKEN="holder") as base,
        httpx.AsyncClient(base_url=base, headers=admin) as http,
        browsing() as browser,
        walking(browser, base) as walk,
    ):
        made = (await http.post("/api/v1/tokens", json={"name": "kim", "roles": ["viewer"]})).json()
        await walk.page.goto(f"{base}/runs")
        await walk.page.get_by_label("API token").fill(made["token"])
        await walk.press("Sign in")
        await walk.page.locator("#stream.on").wait_for()
        beside = await walk.page.locator(".who").bounding_box()
        await walk.to("/backfills/new")
        assert await walk.page.locator(".who").bounding_box() == beside
        await walk.to("/runs")
        assert (await http.delete("/api/v1/tokens/kim")).is_success
        await walk.page.locator("#stream", has_text="signed out").wait_for()
        assert all("401" in one for one in walk.wrong)
        walk.wrong.clear()


async def test_the_audit_log_comes_to_whoever_looks_at_it(database: str, tmp_path: Path) -> None:
    async with served(database, tmp_path, DAILY) as base, browsing() as browser, walking(browser, base) as walk:
        await walk.to("/audit")
        await walk.sees("Nothing of that kind was done.")
        await posted(base, "/api/v1/pauses", {"what": "daily", "by": "kim"})
        await walk.sees("/api/v1/pauses")
        await walk.to("/audit?action=lift")
        await walk.sees("Nothing of that kind was done.")
        await posted(base, "/api/v1/pauses/lift", {"what": "daily", "by": "kim"})
        await walk.sees("/api/v1/pauses/lift")


async def signed_in(walk: Walk) -> None:
    """As kim, by the daemon's own token; on the start page."""
    await walk.page.goto(f"{walk.base}/sign-in")
    await walk.page.get_by_label("API token").fill(TOKEN)
    await walk.page.get_by_label("Your name").fill("kim")
    await walk.press("Sign in")
    await walk.page.locator("#stream.on").wait_for()


async def test_who_signs_out_everywhere_is_out_in_other_browsers_too(database: str, tmp_path: Path) -> None:
    async with (
        served(database, tmp_path, DAILY, TIDEMILL_API_TOKEN=TOKEN) as base,
        browsing() as browser,
        walking(browser, base) as other,
        walking(browser, base, width=390) as walk,
    ):
        await signed_in(other)
        await signed_in(walk)
        assert await overflowing(walk.page) == []
        await walk.press("Sign out everywhere")
        await walk.page.get_by_label("API token").wait_for()
        await other.page.locator("#stream", has_text="signed out").wait_for()
        await other.page.goto(f"{base}/runs")
        await other.page.get_by_label("API token").wait_for()
        assert all("401" in one for one in other.wrong)
        other.wrong.clear()
