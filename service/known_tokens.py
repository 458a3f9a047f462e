"""The tokens that stand, as this process knows them: asked for each request, read seldom.

A token is 256 random bits, so nobody finds one by trying, and its SHA-256 is as good to keep as a slow hash would be:
slow hashes are for what people can remember.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.callers import BEGINS, Caller, Right, Via
from service.db.tokens import UseToken

if TYPE_CHECKING:
    from service.db.reads import Reads
    from service.db.rows import Row
    from service.db.writer import Writer

TOKEN_BYTES = 32
SHOWN = len(BEGINS) + 6
# What is known may be so old; a notification makes it old at once.
FRESH_S = 10.0
# A token that is not known may be newer than what was read; so often that is looked up.
AGAIN_S = 1.0
# When a token was last used is true to this.
NOTED_S = 60.0


def new_token() -> str:
    """A token nobody has."""
    return BEGINS + urlsafe_b64encode(secrets.token_bytes(TOKEN_BYTES)).decode().rstrip("=")


def digest_of(token: str) -> bytes:
    """What is kept of it."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


@dataclass(slots=True)
class _Known:
    id: int
    digest: bytes
    caller: Caller
    until: float
    noted_at: float = float("-inf")


class KnownTokens:
    """See the module. Every call may raise `DatabaseUnavailable`: what is too old is not believed."""

    def __init__(self, reads: Reads, writer: Writer, now: Callable[[], float] = time.monotonic) -> None:
        self._reads = reads
        self._writer = writer
        self._now = now
        self._lock = asyncio.Lock()
        self._by_digest: Mapping[bytes, _Known] = {}
        self._by_id: Mapping[int, _Known] = {}
        self._read_at = float("-inf")
        self._heard = 0

    def hear(self) -> None:
        """Tokens were made or revoked."""
        self._heard += 1
        self._read_at = float("-inf")

    async def holder(self, token: str) -> tuple[int, Caller] | None:
        """The token's id and who has it, or None for one that does not stand."""
        digest = digest_of(token)
        await self._fresh(FRESH_S)
        if digest not in self._by_digest:
            await self._fresh(AGAIN_S)
        known = self._by_digest.get(digest)
        if known is None or not hmac.compare_digest(known.digest, digest):
            return None
        return self._used(known)

    async def held(self, token_id: int) -> Caller | None:
        """Who has the token of this id, while it stands."""
        await self._fresh(FRESH_S)
        known = self._by_id.get(token_id)
        found = None if known is None else self._used(known)
        return None if found is None else found[1]

    def _used(self, known: _Known) -> tuple[int, Caller] | None:
        now = self._now()
        if now >= known.until:
            return None
        if now - known.noted_at >= NOTED_S:
            known.noted_at = now
            self._writer.later(UseToken(known.id))
        return known.id, known.caller

    async def _fresh(self, age_s: float) -> None:
        """Read anew what is older than that. Many who ask at once wait for one reading."""
        if self._now() - self._read_at <= age_s:
            return
        async with self._lock:
            if self._now() - self._read_at > age_s:
                await self._read()

    async def _read(self) -> None:
        began, heard = self._now(), self._heard
        rows = await self._reads.fetch("standing_tokens")
        noted = {one.id: one.noted_at for one in self._by_id.values()}
        found = [_known(row, began, noted) for row in rows]
        self._by_digest, self._by_id = {one.digest: one for one in found}, {one.id: one for one in found}
        # What was told meanwhile may not be in what was read.
        self._read_at = began if heard == self._heard else float("-inf")


def _known(row: Row, now: float, noted: Mapping[int, float]) -> _Known:
    until = float("inf") if row["expires_in_s"] is None else now + row["expires_in_s"]
    rights = frozenset(Right(one) for one in row["roles"])
    caller = Caller(row["name"], Via.NAMED, rights, tuple(row["pipelines"]), f"{row['prefix']}...")
    return _Known(row["id"], row["digest"], caller, until, noted.get(row["id"], float("-inf")))
