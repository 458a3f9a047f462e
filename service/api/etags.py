"""An ETag on what is read, and 304 for who has it already (RFC 9110, sections 8.8 and 13)."""

from __future__ import annotations

import hashlib
import re

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

# What is asked for again is asked anew, and answered in full only where it has changed.
ASK_AGAIN = "private, no-cache"
# Numbers and instants that are others each time one looks, though nothing has happened.
_BY_THE_CLOCK = re.compile(rb'"(?:duration_s|age_s|lag_s|now|reported_at)":(?:null|[-+.0-9eE]+|"[^"\\]*")')
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def conditional(request: Request, response: Response) -> Response:
    """The answer to a GET with its ETag, or 304 without a body where `If-None-Match` names it.

    The tag is a digest of the bytes, unless the answer brings one. What is told by the clock is left out of the digest,
    and the tag is then weak. A stream has none.
    """
    if response.status_code != 200:
        return response
    if "etag" not in response.headers:
        if isinstance(response, StreamingResponse | FileResponse):
            return response
        steady = _BY_THE_CLOCK.sub(b"", response.body) if _is_json(response) else response.body
        digest = hashlib.blake2b(steady, digest_size=16).hexdigest()
        response.headers["ETag"] = f'{"" if steady == response.body else "W/"}"{digest}"'
        response.headers.setdefault("Cache-Control", ASK_AGAIN)
    if not _has(request.headers.getlist("if-none-match"), response.headers["etag"]):
        return response
    kept = {name: value for name, value in response.headers.items() if name in ("etag", "cache-control")}
    return Response(status_code=304, headers=kept, background=response.background)


def _is_json(response: Response) -> bool:
    return response.media_type == "application/json"


def _has(given: list[str], etag: str) -> bool:
    """Whether it is among those given, compared weakly."""
    value = ",".join(given).strip()
    return value == "*" or etag.removeprefix("W/") in _TAG.findall(value)
