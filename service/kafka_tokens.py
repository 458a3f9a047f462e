"""Tokens for OAUTHBEARER: from a file that somebody renews, or from an OAuth 2 endpoint by client credentials.

What goes wrong is a `TokenUnavailable`, an OSError: the Kafka client takes it for a connection that failed, and tries
again later, as it should.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiokafka.abc import AbstractTokenProvider

from triggers.errors import TokenUnavailable
from triggers.http_request import ask

if TYPE_CHECKING:
    import ssl

_TIMEOUT_S = 10.0
# A token is renewed when this part of its life is over.
_FRESH = 0.8


class FileTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Reads the token at every connection, so that whoever renews it only rewrites the file."""

    def __init__(self, file: Path, extensions: Mapping[str, str]) -> None:
        self._file = file
        self._extensions = extensions
        self._last = ""

    async def token(self) -> str:
        """The token. Raises `TokenUnavailable`."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                self._last = (await asyncio.to_thread(self._file.read_text, encoding="ascii")).strip()
        except (OSError, UnicodeDecodeError, TimeoutError) as error:
            raise TokenUnavailable(f"the token file {self._file} cannot be read: {error}") from None
        if not self._last:
            raise TokenUnavailable(f"the token file {self._file} is empty: have it renewed")
        return self._last

    def extensions(self) -> Mapping[str, str]:
        """What is sent beside the token (RFC 7628 section 3.1)."""
        return self._extensions

    def forget(self) -> None:
        """Nothing is kept."""

    def says(self) -> str:
        """What the last token tells of itself, and where it came from."""
        return f"the token in {self._file}{expiry(self._last)}"


class EndpointTokens(AbstractTokenProvider):  # type: ignore[misc]
    """Asks an endpoint for tokens (RFC 6749 section 4.4), again when most of the last one's life is over.

    One that does not say how long it lives is used for one connection only.
    """

    def __init__(
        self,
        url: str,
        client: tuple[str, str],
        *,
        scope: str | None,
        extensions: Mapping[str, str],
        trust: Callable[[], ssl.SSLContext],
    ) -> None:
        self._url = url
        self._client = client
        self._scope = scope
        self._extensions = extensions
        self._trust = trust
        self._kept: tuple[str, float] | None = None
        self._last = ""
        self._one_at_a_time = asyncio.Lock()

    async def token(self) -> str:
        """The token. Raises `TokenUnavailable`."""
        async with self._one_at_a_time:
            if self._kept is None or time.monotonic() >= self._kept[1]:
                self._kept = None
                self._last, lives_s = await self._ask()
                if lives_s is None:
                    return self._last
                self._kept = (self._last, time.monotonic() + _FRESH * lives_s)
            return self._kept[0]

    def extensions(self) -> Mapping[str, str]:
        """What is sent beside the token (RFC 7628 section 3.1)."""
        return self._extensions

    def forget(self) -> None:
        """Ask anew next time: the last token may have been revoked."""
        self._kept = None

    def says(self) -> str:
        """What the last token tells of itself, and where it came from."""
        return f"the token from {self._url}{expiry(self._last)}"

    async def _ask(self) -> tuple[str, float | None]:
        try:
            async with asyncio.timeout(2 * _TIMEOUT_S):
                answer = await asyncio.to_thread(self._post)
        except TimeoutError:
            raise TokenUnavailable(f"{self._url} gave no token within {2 * _TIMEOUT_S:g} s") from None
        token, lives_s = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            raise TokenUnavailable(f"{self._url} answered without an access_token: is it an OAuth 2 token endpoint?")
        return token, float(lives_s) if isinstance(lives_s, int | float) and lives_s > 0 else None

    def _post(self) -> dict[str, Any]:
        from urllib.parse import quote, urlencode

        form = {"grant_type": "client_credentials", **({"scope": self._scope} if self._scope else {})}
        name = ":".join(quote(one, safe="") for one in self._client)
        headers = {"Authorization": f"Basic {base64.b64encode(name.encode()).decode()}", "Accept": "application/json"}
        try:
            status, body = ask(self._url, headers, body=urlencode(form).encode(), tls=self._trust())
        except OSError as error:
            raise TokenUnavailable(f"{self._url} gives no token: {error}") from None
        if status != 200:
            raise TokenUnavailable(self._refused(status, body))
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise TokenUnavailable(f"{self._url} answers no JSON: is it an OAuth 2 token endpoint?") from None
        return found if isinstance(found, dict) else {}

    def _refused(self, status: int, body: bytes) -> str:
        try:
            told = orjson.loads(body)
            why = ": ".join(str(told[name]) for name in ("error", "error_description") if name in told)
        except (orjson.JSONDecodeError, TypeError):
            why = ""
        advice = "check kafka.sasl_client_id, kafka.sasl_client_secret and kafka.sasl_scope"
        return f"{self._url} refuses a token ({status}{': ' + why if why else ''}): {advice}"


def expiry(token: str) -> str:
    """`, which expired at ...` or `, valid until ...`, where a token is a JWT that says so. Nothing is verified."""
    from datetime import UTC, datetime

    try:
        body = token.split(".")[1]
        expires_s = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["exp"]
        at = datetime.fromtimestamp(expires_s, UTC)
    except (IndexError, ValueError, KeyError, TypeError, OverflowError, OSError):
        return ""
    word = "which expired at" if expires_s < time.time() else "valid until"
    return f", {word} {at:%Y-%m-%d %H:%M:%SZ}"
