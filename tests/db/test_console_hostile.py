"""HTML in every text that comes from outside: pages show it as text, and nothing of it becomes a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import httpx

from service.db.tokens import PutToken
from service.model import RunState
from stages.base import StageContext, stage
from stages.errors import Permanent
from stages.gates import approved
from stages.pipeline import Pipeline
from tests.db.api import STRUCTURED, Api, api, cloudevent, line
from tests.db.console import HTML
from tests.db.daemons import reached
from tests.db.test_access_roles import ADMIN, TOKEN, sign_in
from triggers.cloudevents import CloudEvents
from triggers.event import Event

MARK = "zqx7"
MOST_PAGES = 120
LINKS = ("href", "src", "action", "formaction", "data-stream", "xlink:href")


def evil(place: str) -> str:
    """A text that becomes an element, an attribute, a script or a link wherever it is not held to be text."""
    return (
        f"""{place}'"><{MARK} on{MARK}="1"><img src=x on{MARK}=1></script></title></textarea><script>{MARK}</script>"""
    )


@stage(reuse="run")
async def tells(event: Event, context: StageContext) -> dict[str, str]:
    context.logger.info(evil("logged"))
    context.record_metrics(**{evil("metric"): 1.0})
    context.progress(0.5, evil("progress"))
    return {evil("made-name"): evil("made-value")}


@stage(reuse="run")
async def writes(tells: dict[str, str]) -> str:
    return evil("made-text")


@stage(reuse="run")
async def breaks(writes: str) -> int:
    raise Permanent(evil("raised"))


on = CloudEvents(where={"type": evil("event-type")}, name=evil("trigger"))
hostile = Pipeline(
    "hostile", [tells, writes, breaks], on=[on], tags=[evil("tag")], gates={("tells", "writes"): approved(by="leads")}
)
# What every text below must be found in somewhere, or nothing was tried.
SHOWN = {
    *("logged", "metric", "made-name", "made-value", "made-text", "raised", "trigger", "tag", "event-type"),
    *("event-id", "subject", "payload-name", "payload-value", "vote-reason", "pause-reason", "abandon-reason"),
    *("model-metric", "lineage", "asked-for", "unknown"),
}


class Page(HTMLParser):
    """What a browser would make of a page: its elements with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self._script = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._script = tag == "script"
        given = {name: value or "" for name, value in attrs}
        named = [tag, *given]
        if any(MARK in name for name in named) or (tag == "img" and given.get("src") == "x"):
            self.wrong.append(str(self.get_starttag_text()))
        if tag == "script" and not given.get("src", "").startswith("/assets/"):
            self.wrong.append(str(self.get_starttag_text()))
        for name in LINKS:
            if name in given and not re.match(r"/(?!/)|[#?]|$", given[name]):
                self.wrong.append(str(self.get_starttag_text()))
        self.texts += given.values()
        if tag == "a":
            self.links.append(given.get("href", ""))

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.wrong.append(data[:200])
        self.texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_comment(self, data: str) -> None:
        self.texts.append(data)
        if MARK in data:
            self.wrong.append(data)


def test_a_text_that_is_not_held_to_be_one_would_be_found() -> None:
    for written in (evil("x"), f'<a title="{evil("x")}">', f"<script>{evil('x')}</script>", f"<!-- {MARK} -->"):
        assert Page(f"<!doctype html><p>{written}").wrong
    assert Page('<a href="javascript:1">').wrong
    assert Page('<a href="//evil.example">').wrong


async def test_no_text_becomes_a_part_of_a_page(database: str, tmp_path: Path) -> None:
    wrong: dict[str, list[str]] = {}
    seen: list[str] = []
    async with api(database, tmp_path, pipelines=(hostile, line), api_token=TOKEN, groups="leads=kim") as one:
        await _everything_hostile(one)
        await sign_in(one, ADMIN, evil("person"))
        one.http.headers.pop("Authorization", None)
        waiting, asked = _asked(), set[str]()
        while waiting and len(asked) < MOST_PAGES:
            path = waiting.pop(0)
            if path in asked:
                continue
            asked.add(path)
            answer = await one.http.get(path, headers=HTML)
            assert answer.status_code < 500, (path, answer.text)
            if not answer.headers.get("content-type", "").startswith("text/html"):
                continue
            page = Page(answer.text)
            seen += page.texts
            waiting += [link for link in page.links if link.startswith("/") and MARK not in link]
            if page.wrong:
                wrong[path] = page.wrong[:3]
    assert wrong == {}
    whole = "\n".join(seen)
    missing = {place for place in SHOWN if not re.search(re.escape(place) + r"""\\?'\\?"><""" + MARK, whole)}
    assert missing == set()
    assert len(asked) > 30


def _asked() -> list[str]:
    """Pages to begin with, among them those of addresses that are hostile themselves."""
    odd = quote(evil("unknown"), safe="")
    pages = ["/", "/reviews", "/pipelines", "/runs", "/events", "/schedules", "/backfills", "/backfills/new", "/models"]
    pages += ["/system", "/audit", f"/pipelines/{odd}", f"/models/{odd}", f"/schedules/{odd}", f"/events/{odd}"]
    pages += [f"/nothing/{odd}", f"/runs/{odd}", f"/sign-in?next={odd}", "/sign-in?next=javascript:1", f"/decide/{odd}"]
    query = quote(evil("asked-for"), safe="")
    pages += [f"/runs?tag={query}", f"/runs?pipeline={query}", f"/events?type={query}", f"/audit?who={query}"]
    pages += [f"/runs?state={query}", f"/backfills/new?trigger={query}", f"/events?before={query}"]
    return [*pages, "/api/v1/runs/1/report.html", "/runs/1/logs", "/runs/1/resume"]


async def _everything_hostile(one: Api) -> None:
    one.http.headers.update(ADMIN)

    async def did(path: str, body: object, **headers: str) -> httpx.Response:
        answer = await one.http.post(f"/api/v1/{path}", json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer

    payload = {evil("payload-name"): evil("payload-value"), "a": [evil("payload-item")]}
    event = cloudevent(evil("event-id"), evil("event-type"), subject=evil("subject"), data=payload)
    run = (await did("events", event, **STRUCTURED)).json()["events"][0]["runs"][0]
    await reached(one.daemon, run, RunState.WAITING)
    decided = {"by": "kim", "reason": evil("vote-reason")}
    await did(f"runs/{run}/gates/tells-writes/approve", decided)
    await reached(one.daemon, run, RunState.FAILED)
    await did(f"runs/{run}/abandon", {"by": evil("by"), "reason": evil("abandon-reason")})
    await did("pauses", {"what": "hostile", "by": evil("pauser"), "reason": evil("pause-reason")})
    version = {"artifacts": {"model": "1" * 64}, "metrics": {evil("model-metric"): 1.0}}
    version["lineage"] = {evil("lineage"): "2" * 64}
    await did("models/line/versions", version, **{"Idempotency-Key": "k"})
    # Made when names were not looked at.
    await one.daemon.writer.submit(PutToken(evil("token-name"), bytes(32), "tm_", ["viewer"], [], evil("by"), None))
