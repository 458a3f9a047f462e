"""What pages are dressed in: the style, which each holds; scripts and the mark, under their digest, kept for good."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from service.api.access import ASSETS
from service.api.context import Context
from service.errors import NotFound

KINDS = {"js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FOLDER = files("service.console").joinpath("assets")
FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def assets() -> Mapping[str, bytes]:
    """Every file that is served, by its name."""
    found = (one for one in FOLDER.iterdir() if one.name.rpartition(".")[2] in KINDS)
    return {one.name: one.read_bytes() for one in sorted(found, key=lambda one: one.name)}


@cache
def version() -> str:
    """The digest of all of them: scripts name each other, so they change together."""
    whole = hashlib.blake2b(digest_size=8)
    for name, content in assets().items():
        whole.update(name.encode() + b"\0" + content + b"\0")
    return whole.hexdigest()


@cache
def style() -> Markup:
    """The style of every page, which it holds: no page waits for a second answer before it is painted."""
    return Markup(FOLDER.joinpath("console.css").read_text())


def style_source() -> str:
    """What stands for that style, and for no other, in a Content-Security-Policy."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()}'"


def address(name: str) -> str:
    """Where a file is. Raises `KeyError` for one there is not."""
    assets()[name]
    return f"{ASSETS}{version()}/{name}"


async def serve(context: Context, request: Request) -> Response:
    """One file; to a page of another version, the present one."""
    name = request.path_params["name"]
    content = assets().get(name)
    if content is None:
        raise NotFound(f"no file of the console is called {name[:80]!r}")
    etag = f'"{hashlib.blake2b(content, digest_size=8).hexdigest()}"'
    kept = FOR_GOOD if request.path_params["version"] == version() else "no-cache"
    headers = {"ETag": etag, "Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=KINDS[name.rpartition(".")[2]], headers=headers)
