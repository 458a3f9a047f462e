"""Small documents from the web that a trigger needs to know its sender: certificates, keys, confirmations."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from typing import Any

from triggers.errors import SourceUnavailable

TIMEOUT_S = 10.0
LONGEST_BYTES = 256 * 1024


class NotThere(SourceUnavailable):
    """The server answered, and has nothing to give under this address: asking again does not help."""

    transient = False


async def fetch(url: str) -> bytes:
    """What a `https:` address answers to a GET, redirects not followed. The caller has checked whose address it is.

    Raises `SourceUnavailable`; `NotThere` where the server said no.
    """
    return await asyncio.to_thread(_get, url)


def _get(url: str) -> bytes:
    if not url.startswith("https://"):
        raise NotThere(f"{url[:100]!r} is no https: address")
    try:
        with _OPENER.open(url, timeout=TIMEOUT_S) as answer:
            body: bytes = answer.read(LONGEST_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        kind = SourceUnavailable if error.code >= 500 or error.code == 429 else NotThere
        raise kind(f"{url[:200]} answered {error.code}") from None
    except (OSError, ValueError) as error:
        raise SourceUnavailable(f"{url[:200]} does not answer: {error}") from None
    if len(body) > LONGEST_BYTES:
        raise NotThere(f"{url[:200]} is longer than {LONGEST_BYTES} bytes")
    return body


class _Staying(urllib.request.HTTPRedirectHandler):
    """Follows nobody elsewhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Staying)
