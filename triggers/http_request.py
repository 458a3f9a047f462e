"""One HTTP request from a thread, for the rare ones: schemas, tokens. Credentials never follow a redirect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

TIMEOUT_S = 10.0
_LONGEST_ANSWER_BYTES = 16 * 1024 * 1024


def ask(
    url: str, headers: Mapping[str, str], *, body: bytes | None = None, tls: ssl.SSLContext | None = None
) -> tuple[int, bytes]:
    """Status and body of the answer, whatever the status is. Blocks. Raises OSError where there is no answer."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

    class Nowhere(HTTPRedirectHandler):
        def redirect_request(self, *args: object) -> None:
            """Not followed: it is answered as it came."""

    opener = build_opener(Nowhere, HTTPSHandler(context=tls))
    try:
        with opener.open(Request(url, body, dict(headers)), timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read(_LONGEST_ANSWER_BYTES)
    except HTTPError as error:
        with error:
            return error.code, error.read(_LONGEST_ANSWER_BYTES)
    except URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason)) from None
    except (HTTPException, ValueError) as error:
        raise OSError(f"no HTTP is spoken there: {error!r}") from None
