"""Who may speak to the daemon: whoever knows the token, or, where there is none, programs on this machine."""

from __future__ import annotations

import hmac
import re
from urllib.parse import parse_qs, urlsplit

from starlette.types import Scope

from service.api.problems import Problem
from service.api.requests import header
from service.api.sessions import Sessions
from service.config import is_loopback

_BEARER = re.compile(r"bearer +([!-~]+)", re.IGNORECASE)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# What forms of the console are sent to; where a browser shows the token; what every page is dressed in.
ACT, SIGN_IN, ASSETS = "/act/", "/sign-in", "/assets/"
_PORT = re.compile(r":[0-9]*\Z")


class Access:
    """Without a token the daemon listens on loopback, where a browser on this machine is the one way in from outside:
    a page from elsewhere may post to it, or be served under a name that leads here (DNS rebinding).
    """

    def __init__(self, token: str | None, sessions: Sessions) -> None:
        self._token = token.encode() if token else None
        self._sessions = sessions

    def check(self, scope: Scope, *, token_in_query: bool = False) -> None:
        """Raises 401 (token missing or wrong) or 403 (a page from elsewhere)."""
        if self._token is None:
            _refuse_strangers(scope)
            return
        given = _token_of(scope, token_in_query)
        if given is None and self._is_signed_in(scope):
            return
        if given is None:
            raise _unauthorized("this address needs the API token: send Authorization: Bearer TOKEN", "")
        if not hmac.compare_digest(given.encode("latin-1", "replace"), self._token):
            raise _unauthorized(
                "this is not the API token of the daemon (TIDEMILL_API_TOKEN)", ', error="invalid_token"'
            )

    def _is_signed_in(self, scope: Scope) -> bool:
        """Whether a browser asks in whose session the token was shown: to look, or by a form of ours, which has a
        token of its own. A cookie alone changes nothing.
        """
        session = self._sessions.of(scope)
        may = scope["method"] in SAFE or scope["path"].startswith(ACT)
        return may and session is not None and session.signed_in

    def is_token(self, given: str) -> bool:
        """Whether this is the API token, or none is needed."""
        return self._token is None or hmac.compare_digest(given.encode("utf-8", "replace"), self._token)


def check_form_origin(scope: Scope, public_url: str | None) -> None:
    """Raises 403 for a form that a browser sends from a page of another site."""
    own = {(header(scope, b"host") or "").lower(), urlsplit_host(public_url or "")}
    origin, site = header(scope, b"origin"), header(scope, b"sec-fetch-site")
    if (origin is not None and urlsplit_host(origin) not in own) or site not in (None, "same-origin"):
        raise Problem(403, f"a page from {(origin or site or '')[:80]!r} may not do this: use the daemon's own pages")


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


def _refuse_strangers(scope: Scope) -> None:
    host = header(scope, b"host") or ""
    name = _PORT.sub("", host)
    if host and not (is_loopback(name) or name.lower().endswith(".localhost") or name.lower() == "localhost"):
        raise Problem(
            403,
            f"without an API token only this machine may ask, and {host[:80]!r} is not one of its names:"
            " use 127.0.0.1 or localhost, or set TIDEMILL_API_TOKEN",
        )
    origin = header(scope, b"origin")
    if origin is not None and scope["method"] not in SAFE and urlsplit_host(origin) != host.lower():
        raise Problem(403, f"a page from {origin[:80]!r} may not do this: ask from the daemon's own pages")


def urlsplit_host(origin: str) -> str | None:
    """The `host:port` of an Origin header, in lower case; None for `null` and for what is none."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
