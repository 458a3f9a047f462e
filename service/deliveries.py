"""What GitHub says it delivered to a hook: its own list, read with a person's token from where that person is.

https://docs.github.com/en/rest/repos/webhooks (those of organisations and apps have the same shape).
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from service.errors import Invalid, ServiceError

TIMEOUT_S = 30.0
# GitHub keeps 30 days; pages hold 100.
MOST_PAGES = 200
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="next"')


class ProviderRefused(ServiceError):
    """The provider does not tell, or does not answer."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One delivery, by the id its event has (`guid`), with the last attempt at it. `answered` is the status it got."""

    guid: str
    attempt: int
    event: str
    delivered_at: datetime
    answered: int


@dataclass(frozen=True, slots=True)
class GitHubDeliveries:
    """The deliveries at `url`: `https://api.github.com/repos/OWNER/REPO/hooks/ID/deliveries`."""

    url: str
    token: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(
                f"--deliveries {self.url!r}: give https://api.github.com/repos/OWNER/REPO/hooks/ID/deliveries"
            )

    def listed(self, since: datetime, until: datetime) -> list[Delivered]:
        """Every delivery of that time, the oldest first; of several attempts at one the newest.

        Raises `ProviderRefused`.
        """
        found: dict[str, Delivered] = {}
        for one in self._pages(since):
            if since <= one.delivered_at < until:
                found.setdefault(one.guid, one)
        return sorted(found.values(), key=lambda one: one.delivered_at)

    def again(self, delivery: Delivered) -> None:
        """Ask for a delivery to be made once more: it comes signed, as the first did. Raises `ProviderRefused`."""
        self._ask("POST", f"{self.url.rstrip('/')}/{delivery.attempt}/attempts")

    def _pages(self, since: datetime) -> Iterator[Delivered]:
        """Newest first, until they are older than `since`."""
        address: str | None = f"{self.url}?per_page=100"
        for _ in range(MOST_PAGES):
            if address is None:
                return
            rows, following = self._ask("GET", address)
            page = [_delivered(row) for row in rows] if isinstance(rows, list) else []
            yield from page
            address = following if page and page[-1].delivered_at >= since else None

    def _ask(self, method: str, address: str) -> tuple[Any, str | None]:
        """The document at an address of the same provider, and where the next page is."""
        parts, own = urlsplit(address), urlsplit(self.url)
        if (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
            raise ProviderRefused(f"{own.netloc} sends to another host for its next page: not followed")
        headers = {"Accept": "application/vnd.github+json", "User-Agent": "tidemill"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
            response = connection.getresponse()
            return _told(own.netloc, response), _following(response.getheader("Link"))
        except (OSError, http.client.HTTPException) as error:
            raise ProviderRefused(f"{own.netloc} does not answer: {error or type(error).__name__}") from error
        finally:
            connection.close()


def _told(host: str, response: http.client.HTTPResponse) -> Any:
    content = response.read()
    if response.status >= 400:
        hint = ": does the token (--token-env) belong to somebody who may administer the hook?"
        raise ProviderRefused(f"{host} answers {response.status}{hint if response.status in (401, 403, 404) else ''}")
    try:
        return orjson.loads(content) if content else None
    except orjson.JSONDecodeError:
        raise ProviderRefused(f"{host} answers with what is no JSON") from None


def _following(link: str | None) -> str | None:
    found = _NEXT.search(link or "")
    return found[1] if found else None


def _delivered(row: Any) -> Delivered:
    try:
        at = datetime.fromisoformat(row["delivered_at"])
        return Delivered(row["guid"], row["id"], str(row.get("event", "")), at, int(row.get("status_code") or 0))
    except (KeyError, TypeError, ValueError) as error:
        raise ProviderRefused(f"a delivery in the list is not as GitHub describes it: {error!r}") from None
