"""What triggers fetch from the web: only what was asked for, from where it was asked, and not for ever."""

from __future__ import annotations

import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from triggers import web


class Handler(BaseHTTPRequestHandler):
    """Sends everybody elsewhere, but for `/here`."""

    asked: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200 if self.path == "/here" else 302)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_nobody_is_followed_elsewhere(address: str) -> None:
    Handler.asked.clear()
    with web._OPENER.open(f"{address}/here", timeout=5) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as told:
        web._OPENER.open(f"{address}/away", timeout=5)
    told.value.close()
    assert told.value.code == 302
    assert Handler.asked == ["/here", "/away"]


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/", "", "//x"])
async def test_nothing_but_https_is_asked_for(url: str) -> None:
    with pytest.raises(web.NotThere, match="is no https: address"):
        await web.fetch(url)


async def test_a_server_that_is_away_may_be_asked_again() -> None:
    with pytest.raises(web.SourceUnavailable) as told:
        await web.fetch("https://127.0.0.1:1/")
    assert told.value.transient
