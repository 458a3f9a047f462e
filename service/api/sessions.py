"""Who looks at the console: a signed cookie, and the token that its forms carry.

Signed by a key made of the API token, so that another token ends every session; without one, by a key of this process.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

import orjson
from starlette.types import Message, Scope, Send

from service.api.requests import header
from service.callers import Caller

SECURE = b"; Secure"
LASTS_S = 7 * 86_400
SAID_S = 60
GOING_S = 600


@dataclass(frozen=True, slots=True)
class Session:
    """A browser. `name` is who decides things in it; `signed_in`: whoever holds it has shown a token, the one with the
    id `token`, that of the settings (`holder`), or (`roles` are those it gave) one of the provider `issuer`. It stands
    until sessions of theirs were ended more than `generation` times.
    """

    id: str
    name: str
    signed_in: bool
    until_s: int
    token: int | None = None
    holder: bool = False
    roles: Sequence[str] = ()
    pipelines: Sequence[str] = ()
    known_as: str = ""
    issuer: str = ""
    generation: int = 0


class Sessions:
    """Makes and reads the cookies of one installation."""

    def __init__(self, token: str | None, installation: str, *, secure: bool) -> None:
        key = token.encode() if token else secrets.token_bytes(32)
        self._key = hmac.digest(key, b"tidemill console", hashlib.sha256)
        self._secure = secure
        # Ports of one machine share their cookies.
        self._name = f"tidemill_{installation.replace('-', '')[:12]}"

    def of(self, scope: Scope) -> Session | None:
        """The session of a request, if it brings a valid one."""
        session = self.last(scope)
        return session if session is not None and session.until_s > time.time() else None

    def last(self, scope: Scope) -> Session | None:
        """The same, also where its time is over."""
        read = self._read(scope, self._name, "session")
        try:
            return Session(**read)
        except TypeError:
            return None

    def begin(self, name: str, *, signed_in: bool, token: int | None = None, holder: bool = False) -> Session:
        """A new one."""
        return Session(secrets.token_urlsafe(18), name, signed_in, int(time.time()) + LASTS_S, token, holder)

    def by_provider(self, caller: Caller, issuer: str, lasts_s: float) -> Session:
        """A new one, of somebody whom the provider knows."""
        return Session(
            secrets.token_urlsafe(18),
            caller.name,
            True,
            int(time.time() + lasts_s),
            roles=sorted(caller.rights),
            pipelines=caller.pipelines,
            known_as=caller.known_as,
            issuer=issuer,
        )

    def signed_by(self, key: bytes) -> None:
        """Use a key that all daemons of the installation know."""
        self._key = hmac.digest(key, b"tidemill console", hashlib.sha256)

    def cookie(self, session: Session) -> str:
        """What sets it."""
        return self._cookie(self._name, self._signed("session", _told(session)), LASTS_S)

    def going(self, content: dict[str, Any]) -> str:
        """A cookie for the time in which somebody signs in elsewhere."""
        lasting = self._signed("going", {**content, "until_s": time.time() + GOING_S})
        return self._cookie(f"{self._name}_going", lasting, GOING_S)

    def gone(self, scope: Scope) -> dict[str, Any]:
        """What it holds, if it is not too old."""
        read = self._read(scope, f"{self._name}_going", "going")
        return read if read.get("until_s", 0) > time.time() else {}

    def came_back(self) -> str:
        """What takes it away."""
        return self._cookie(f"{self._name}_going", "", 0)

    def ended(self) -> str:
        """What takes it away."""
        return self._cookie(self._name, "", 0)

    def form_token(self, session: Session) -> str:
        """What a form must carry to be from a page of this session."""
        return hmac.new(self._key, b"form " + session.id.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, session: Session, given: str) -> bool:
        """Whether a form is from a page of this session."""
        return hmac.compare_digest(self.form_token(session).encode(), given.encode("utf-8", "replace"))

    def saying(self, text: str) -> str:
        """A cookie by which the next page tells what was done."""
        return self._cookie(f"{self._name}_said", self._signed("said", {"text": text[:900]}), SAID_S)

    def said(self, scope: Scope) -> str:
        """What the next page is to tell, or nothing."""
        return str(self._read(scope, f"{self._name}_said", "said").get("text", ""))

    def told(self) -> str:
        """What takes it away."""
        return self._cookie(f"{self._name}_said", "", 0)

    def _cookie(self, name: str, value: str, lasts_s: int) -> str:
        secure = SECURE.decode() if self._secure else ""
        return f"{name}={value}; Path=/; Max-Age={lasts_s}; HttpOnly; SameSite=Lax{secure}"

    def _signed(self, what: str, content: dict[str, Any]) -> str:
        body = urlsafe_b64encode(orjson.dumps(content)).decode()
        return f"{body}.{self._signature(what, body)}"

    def _signature(self, what: str, body: str) -> str:
        return hmac.new(self._key, f"{what} {body}".encode(), hashlib.sha256).hexdigest()

    def _read(self, scope: Scope, name: str, what: str) -> dict[str, Any]:
        try:
            given = SimpleCookie(header(scope, b"cookie") or "").get(name)
        except CookieError:
            return {}
        body, _, signature = (given.value if given is not None else "").partition(".")
        if not body or not hmac.compare_digest(self._signature(what, body).encode(), signature.encode()):
            return {}
        content: dict[str, Any] = orjson.loads(urlsafe_b64decode(body))
        return content


def _told(session: Session) -> dict[str, Any]:
    """What its cookie holds. An older daemon takes none with a field it does not know: nothing is said of no ends."""
    return {name: value for name, value in asdict(session).items() if name != "generation" or value}


def kept_to_tls(send: Send) -> Send:
    """`send`, for a request that came over TLS: what cookies it sets are never sent without it."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [(name, _secured(name, value)) for name, value in message["headers"]]
        await send(message)

    return sending


def _secured(name: bytes, value: bytes) -> bytes:
    sets = name.lower() == b"set-cookie" and SECURE not in value
    return value + SECURE if sets else value
