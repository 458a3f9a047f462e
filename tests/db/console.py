"""A browser as far as the console needs one: it follows links, keeps cookies, and fills in forms it has seen."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from typing import Any

import httpx

from service.console.look import POLICY
from tests.db.api import Api

HTML = {"Accept": "text/html"}


class Forms(HTMLParser):
    """The forms of a page that are posted: their addresses, and what their hidden fields hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("method") == "post"
            if self._inside:
                self.found.append((given["action"], {}))
        elif tag == "input" and self._inside and given.get("type") == "hidden":
            self.found[-1][1][given["name"]] = given["value"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


async def look(one: Api, path: str, status: int = 200, **headers: str) -> str:
    """A page, after what holds of all pages was checked."""
    answer = await one.http.get(path, headers={**HTML, **headers})
    assert answer.status_code == status, answer.text
    assert_page(answer)
    return answer.text


def assert_page(answer: httpx.Response) -> None:
    """It is whole, says what a browser may do with it, and needs nothing else than that."""
    page = answer.text
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert len(re.findall(r"<h1[ >]", page)) == 1
    assert len(re.findall(r"<main[ >]", page)) == 1
    assert re.findall(r"<script(?! type=\"module\" src=\"/assets/)", page) == []
    assert re.findall(r"\sstyle=|\son[a-z]+=\"", page) == []
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert [f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" in POLICY for one in styles] == [True]
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert sorted(ids) == sorted(set(ids))
    labels = re.findall(r'<label[^>]* for="([^"]*)"', page)
    assert set(labels) <= set(ids)


def form_of(page: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that is sent to an address."""
    return next(fields for sent_to, fields in Forms(page).found if sent_to == action)


async def send(one: Api, action: str, fields: dict[str, Any], **headers: str) -> httpx.Response:
    """Send a form as a browser does."""
    own = {"Origin": str(one.http.base_url).rstrip("/"), "Sec-Fetch-Site": "same-origin", **HTML, **headers}
    return await one.http.post(action, data=fields, headers={name: value for name, value in own.items() if value})


def text_of(page: str) -> str:
    """What a reader sees of it."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"(?s)<style>.*?</style>|<[^>]*>", " ", page)))
