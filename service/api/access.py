"""Who may speak to the daemon: whoever shows a token, or, where none is set, programs on this machine."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from starlette.types import Scope

from service.api.problems import Problem
from service.api.requests import header
from service.api.sessions import Sessions
from service.api.standing import CALLER
from service.api.tries import Tries
from service.callers import BEGINS, HOLDER, LOCAL, STAGE, Caller, Right, Via
from service.config import is_loopback
from service.errors import NotLetIn
from service.known_sessions import KnownSessions, generation
from service.known_tokens import SHOWN, KnownTokens
from service.lent_token import lent_token

if TYPE_CHECKING:
    from service.oidc import Provider

_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What forms of the console are sent to; where a browser shows the token; what every page is dressed in.
ACT, SIGN_IN, ASSETS = "/act/", "/sign-in", "/assets/"
# All that a stage may ask with the token that it is lent.
LENT = "/api/v1/models/"
_FOR = re.compile(r"\bfor=([^;,]*)", re.IGNORECASE)
_PORT = re.compile(r":[0-9]*\Z")
NEEDED = "this address needs a token, sent as Authorization: Bearer TOKEN; the command line sends TIDEMILL_API_TOKEN"


class Access:
    """Without a token the daemon listens on loopback, where a browser on this machine is the one way in from outside:
    a page from elsewhere may post to it, or be served under a name that leads here (DNS rebinding).
    """

    def __init__(
        self,
        token: str | None,
        sessions: Sessions,
        tokens: KnownTokens,
        ends: KnownSessions,
        provider: Provider | None = None,
    ) -> None:
        self.provider = provider
        self.tries = Tries()
        self._token = token.encode() if token else None
        self._lent = lent_token(self._token).encode() if self._token else None
        self._sessions = sessions
        self._tokens = tokens
        self._ends = ends

    def lends_by(self, key: bytes) -> None:
        """Know what stages are lent by a key that all daemons of the installation know."""
        self._lent = lent_token(key).encode()

    @property
    def is_open(self) -> bool:
        """Whether programs and browsers of this machine need no token."""
        return self._token is None and self.provider is None

    async def check(self, scope: Scope, *, token_in_query: bool = False) -> None:
        """Know who asks: `caller_of(scope)` from now on.

        Raises 401 (token missing or wrong), 403 (a page from elsewhere), `DatabaseUnavailable`.
        """
        if self.is_open:
            _refuse_strangers(scope)
        given = _token_of(scope, token_in_query)
        if given is None:
            caller = LOCAL if self.is_open else await self._signed_in(scope)
        elif self._lent is not None and hmac.compare_digest(given.encode("utf-8", "replace"), self._lent):
            caller = _stage(scope)
        else:
            found = await self.shown(given)
            caller = found[1] if found else LOCAL if self.is_open and not given.startswith(BEGINS) else None
        if caller is None and given is None:
            raise _unauthorized(NEEDED, "")
        if caller is None:
            raise _unauthorized(_wrong(given or ""), ', error="invalid_token"')
        scope[CALLER] = caller

    async def shown(self, given: str) -> tuple[int | None, Caller] | None:
        """Whose token this is, and its id where it has one; None: nobody's. Raises 401 for a token of
        the provider that does not hold, `DatabaseUnavailable`, `ProviderAway`.
        """
        if self._token is not None and hmac.compare_digest(given.encode("utf-8", "replace"), self._token):
            return None, HOLDER
        if given.startswith(BEGINS):
            return await self._tokens.holder(given)
        if self.provider is None or given.count(".") != 2:
            return None
        try:
            return None, await self.provider.bearer(given)
        except NotLetIn as error:
            raise _unauthorized(str(error), ', error="invalid_token"') from None

    async def _signed_in(self, scope: Scope) -> Caller | None:
        """Who asks by a browser in whose session a token was shown: to look, or by a form of ours, which has a token
        of its own. A cookie alone changes nothing.
        """
        session = self._sessions.of(scope)
        may = scope["method"] in SAFE or scope["path"].startswith(ACT)
        if not may or session is None or not session.signed_in:
            return None
        if session.generation < generation(await self._ends.ends(), session.name, session.known_as):
            return None
        if session.roles:
            rights = frozenset(Right(one) for one in session.roles)
            signed = Caller(session.name, Via.OIDC, rights, tuple(session.pipelines), session.known_as)
            return signed if self.provider is not None and self.provider.issuer == session.issuer else None
        if session.token is not None:
            return await self._tokens.held(session.token)
        return HOLDER if session.holder and self._token is not None else None


def check_form_origin(scope: Scope, public_url: str | None) -> None:
    """Raises 403 for a form that a browser sends from a page of another site."""
    own = {(header(scope, b"host") or "").lower(), urlsplit_host(public_url or "")}
    # Not to be mistaken for the host of `null`, from where a sandboxed frame sends.
    own.discard(None)
    origin, site = header(scope, b"origin"), header(scope, b"sec-fetch-site")
    if origin is None:
        # Browsers that leave the origin out of a form tell the page it was on.
        origin = header(scope, b"referer")
    if (origin is not None and urlsplit_host(origin) not in own) or site not in (None, "same-origin"):
        raise Problem(403, f"a page from {(origin or site or '')[:80]!r} may not do this: use the daemon's own pages")


def _stage(scope: Scope) -> Caller:
    if not scope["path"].startswith(LENT):
        raise Problem(403, f"this is the token that stages are lent, for {LENT}... alone: use one of your own")
    return STAGE


def _token_of(scope: Scope, token_in_query: bool) -> str | None:
    authorization = header(scope, b"authorization")
    if authorization is not None:
        found = _BEARER.fullmatch(authorization.strip())
        return found[1] if found else ""
    if token_in_query and b"access_token=" in scope["query_string"]:
        # HTTP webhooks for CloudEvents, section 3.2: senders that cannot set a header.
        query: bytes = scope["query_string"]
        return parse_qs(query.decode("latin-1")).get("access_token", [""])[0]
    return None


def _unauthorized(detail: str, error: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": f'Bearer realm="tidemill"{error}'})


def _wrong(given: str) -> str:
    if given.startswith(BEGINS):
        return f"{given[:SHOWN]}... is no token that stands: it has expired or was revoked; ask an admin for another"
    return "this is not the API token of the daemon (TIDEMILL_API_TOKEN)"


def _refuse_strangers(scope: Scope) -> None:
    host = header(scope, b"host") or ""
    name = _PORT.sub("", host)
    if host and not (is_loopback(name) or name.lower().endswith(".localhost") or name.lower() == "localhost"):
        raise Problem(
            403,
            f"without an API token only this machine may ask, and {host[:80]!r} is not one of its names:"
            " use 127.0.0.1 or localhost, or set TIDEMILL_API_TOKEN",
        )
    for came_from in _forwarded(scope):
        if not is_loopback(came_from):
            raise Problem(
                403,
                f"without an API token only this machine may ask, and a proxy tells that this is from"
                f" {came_from[:80]!r}: set TIDEMILL_API_TOKEN",
            )
    origin = header(scope, b"origin")
    if origin is not None and scope["method"] not in SAFE and urlsplit_host(origin) != host.lower():
        raise Problem(403, f"a page from {origin[:80]!r} may not do this: ask from the daemon's own pages")


def _forwarded(scope: Scope) -> Iterator[str]:
    """From where proxies tell that a request is. Nobody is believed to be nearer by it."""
    for name, value in scope["headers"]:
        told = value.decode("latin-1")
        if name == b"forwarded":
            yield from (_bare(one) for one in _FOR.findall(told))
        elif name in (b"x-forwarded-for", b"x-real-ip"):
            yield from (_bare(one) for one in told.split(",") if one.strip())


def _bare(address: str) -> str:
    """Without its port."""
    given = address.strip().strip('"')
    if given.startswith("["):
        return given[1:].partition("]")[0]
    return given.partition(":")[0] if given.count(":") == 1 else given


def urlsplit_host(origin: str) -> str | None:
    """The `host:port` of an Origin header, in lower case; None for `null` and for what is none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
