"""The files that pages are dressed in: style, scripts, the mark. Served under the digest of all, so kept for good."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from service.api.access import ASSETS
from service.api.context import Context
from service.errors import NotFound

KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
FOR_GOOD = "public, max-age=31536000, immutable"


@cache
def assets() -> Mapping[str, bytes]:
    """Every file by its name."""
    folder = files("service.console").joinpath("assets")
    found = (one for one in folder.iterdir() if one.name.rpartition(".")[2] in KINDS)
    return {one.name: one.read_bytes() for one in sorted(found, key=lambda one: one.name)}


@cache
def version() -> str:
    """The digest of all of them: scripts name each other, so they change together."""
    whole = hashlib.blake2b(digest_size=8)
    for name, content in assets().items():
        whole.update(name.encode() + b"\0" + content + b"\0")
    return whole.hexdigest()


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
