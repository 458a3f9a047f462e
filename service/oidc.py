"""Tokens of an OpenID Connect provider: who showed one, and how a browser gets one (authorization code with PKCE).

Signatures and claims are checked by PyJWT: the algorithm against a list of those that need the provider's own key,
`exp`, `iat` and `sub`, which must be there, `nbf`, `iss` and `aud` (RFC 8725; OpenID Connect Core 1.0, 3.1.3.7).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import jwt
import orjson

from service.callers import Caller, Via
from service.config import is_loopback
from service.errors import NotLetIn, ProviderAway
from service.oidc_settings import EVERYBODY, Oidc
from triggers.http_request import ask

LEEWAY_S = 30
# What the provider says of itself and its keys is believed for so long.
FRESH_S = 3600.0
# A key that is not known may be new; so often that is asked.
AGAIN_S = 30.0
MOST_TOKEN = 16_384
DISCOVERY = "/.well-known/openid-configuration"
SIGNED_OUT = "http://schemas.openid.net/event/backchannel-logout"
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


class Provider:
    """The one of the settings. Every call may raise `NotLetIn` and `ProviderAway`."""

    def __init__(self, settings: Oidc, now: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.issuer = settings.issuer or ""
        self._now = now
        self._lock = asyncio.Lock()
        self._about: Mapping[str, Any] = {}
        self._about_at = float("-inf")
        self._keys: list[Mapping[str, Any]] = []
        self._keys_at = self._asked_at = float("-inf")

    async def bearer(self, token: str) -> Caller:
        """Who sends this token with a request."""
        return self.caller(await self.claims(token, str(self.settings.audience or self.settings.client_id)))

    async def signed_out(self, token: str) -> str:
        """Whose sessions the provider ends, by a logout token (OpenID Connect Back-Channel Logout 1.0, 2.6)."""
        claims = await self.claims(token, str(self.settings.client_id))
        told = claims.get("events")
        if not isinstance(told, dict) or SIGNED_OUT not in told or "nonce" in claims:
            raise NotLetIn("this is no logout token: it must tell of a back-channel logout, and have no nonce")
        return _subject(claims)

    async def claims(self, token: str, audience: str, nonce: str | None = None) -> Mapping[str, Any]:
        """What a token says, once it holds."""
        try:
            if len(token) > MOST_TOKEN:
                raise NotLetIn(f"this token has more than {MOST_TOKEN} characters")
            header = jwt.get_unverified_header(token)
            key = await self._key(header.get("kid"), header.get("alg"))
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[one.value for one in self.settings.algorithms],
                audience=audience,
                issuer=str((await self._described())["issuer"]),
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise NotLetIn(f"this token of {self.issuer} does not hold: {error}") from None
        if nonce is not None and claims.get("nonce") != nonce:
            raise NotLetIn("this token was made for another sign-in: sign in again")
        return claims

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """Who that is, and what they may do here."""
        if "events" in claims:
            raise NotLetIn("this token tells that something happened, and lets nobody in")
        name = claims.get(self.settings.name_claim)
        if not isinstance(name, str) or not name.strip():
            claim = self.settings.name_claim
            raise NotLetIn(f"the token has no {claim} to act under: have the provider add it, or set oidc.name_claim")
        groups = {EVERYBODY, *_groups(claims, self.settings.roles_claim)}
        grants = [one for one in self.settings.roles if one.group in groups]
        if not grants:
            raise NotLetIn(f"{name} is known to {self.issuer}, but is in none of the groups that oidc.roles names")
        rights = frozenset(one.right for one in grants)
        pipelines = tuple(dict.fromkeys(name for one in grants for name in one.pipelines))
        return Caller(name.strip()[:200], Via.OIDC, rights, pipelines, _subject(claims))

    async def address(self, redirect: str, state: str, nonce: str, challenge: str, *, silent: bool) -> str:
        """Where a browser goes to sign in; `silent`: only if nobody has to be asked anything there."""
        about = await self._described()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id or "",
            "redirect_uri": redirect,
            "scope": self.settings.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        } | ({"prompt": "none"} if silent else {})
        given = str(about["authorization_endpoint"])
        return f"{given}{'&' if urlsplit(given).query else '?'}{urlencode(query)}"

    async def exchanged(self, code: str, redirect: str, verifier: str, nonce: str) -> Caller:
        """Who came back from there with a code."""
        about, settings = await self._described(), self.settings
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if settings.client_secret:
            pair = f"{quote(settings.client_id or '', safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            form["client_id"] = settings.client_id or ""
        status, answer = await self._ask(str(about["token_endpoint"]), headers, urlencode(form).encode())
        token = _parsed(answer).get("id_token")
        if status != 200 or not isinstance(token, str):
            told = _parsed(answer).get("error_description") or _parsed(answer).get("error") or f"status {status}"
            raise NotLetIn(f"{self.issuer} does not take the code: {str(told)[:200]}; sign in again")
        claims = await self.claims(token, str(settings.client_id), nonce)
        if claims.get("azp", settings.client_id) != settings.client_id:
            raise NotLetIn("this token was made for another program")
        return self.caller(claims)

    async def _key(self, kid: Any, algorithm: Any) -> jwt.PyJWK:
        """The provider's key that a token names. What it signs with is not its choice, but that of the settings."""
        if algorithm not in [one.value for one in self.settings.algorithms]:
            raise NotLetIn(
                f"tokens signed by {str(algorithm)[:20]!r} are not taken: oidc.algorithms has those that are"
            )
        found = _chosen(await self._known_keys(FRESH_S), kid, algorithm)
        found = found or _chosen(await self._known_keys(AGAIN_S), kid, algorithm)
        if found is None:
            raise NotLetIn(f"{self.issuer} has no key {str(kid)[:80]!r} for {algorithm}")
        return jwt.PyJWK(dict(found), algorithm=algorithm)

    async def _known_keys(self, age_s: float) -> list[Mapping[str, Any]]:
        """Read no longer ago than that. Whatever tokens name, the provider is not asked more often than `AGAIN_S`."""
        async with self._lock:
            if self._now() - self._keys_at > age_s and self._now() - self._asked_at > AGAIN_S:
                self._asked_at = self._now()
                keys = (await self._document(str((await self._described())["jwks_uri"]))).get("keys")
                self._keys = [one for one in keys if isinstance(one, dict)] if isinstance(keys, list) else []
                self._keys_at = self._now()
        if self._now() - self._keys_at > FRESH_S:
            raise ProviderAway(f"{self.issuer} did not give its keys a moment ago: try again")
        return self._keys

    async def _described(self) -> Mapping[str, Any]:
        """What the provider says of itself (OpenID Connect Discovery 1.0, section 4)."""
        if self._now() - self._about_at > FRESH_S:
            about = await self._document(self.issuer + DISCOVERY)
            if str(about.get("issuer", "")).rstrip("/") != self.issuer:
                raise ProviderAway(f"{self.issuer}{DISCOVERY} is of another issuer: {str(about.get('issuer'))[:200]!r}")
            for name in ENDPOINTS:
                if not _is_safe(str(about.get(name, ""))):
                    raise ProviderAway(f"{self.issuer}{DISCOVERY} gives no {name} by https")
            self._about, self._about_at = about, self._now()
        return self._about

    async def _document(self, url: str) -> Mapping[str, Any]:
        status, answer = await self._ask(url, {"Accept": "application/json"})
        found = _parsed(answer)
        if status != 200 or not found:
            raise ProviderAway(f"{url} answers {status} instead of a JSON document")
        return found

    async def _ask(self, url: str, headers: Mapping[str, str], body: bytes | None = None) -> tuple[int, bytes]:
        try:
            return await asyncio.to_thread(ask, url, headers, body=body, tls=self._tls)
        except OSError as error:
            raise ProviderAway(f"{urlsplit(url).netloc} does not answer: {error}") from None

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        given = self.settings.ssl_cafile
        return ssl.create_default_context(cafile=None if given is None else str(given))


def _chosen(keys: list[Mapping[str, Any]], kid: Any, algorithm: str) -> Mapping[str, Any] | None:
    """The key of that name, or the only one that fits, for a token that names none."""
    fitting = [one for one in keys if one.get("use", "sig") == "sig" and one.get("alg", algorithm) == algorithm]
    fitting = [one for one in fitting if one.get("kty") == _kind(algorithm) and kid in (None, one.get("kid"))]
    return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None


def _kind(algorithm: str) -> str:
    return {"R": "RSA", "P": "RSA", "E": "EC"}[algorithm[0]] if algorithm != "EdDSA" else "OKP"


def _subject(claims: Mapping[str, Any]) -> str:
    return str(claims["sub"])[:200]


def _groups(claims: Mapping[str, Any], path: str) -> list[str]:
    """The groups in a claim: a list, or a text with blanks between."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, str):
        return found.split()
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _is_safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    except ValueError:
        return False


def _parsed(answer: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
