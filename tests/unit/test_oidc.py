"""Tokens of a provider: what holds, what does not, and what is asked of the provider for it."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from service.callers import Right, Via
from service.config import oidc_problems
from service.errors import NotLetIn, ProviderAway
from service.oidc import AGAIN_S, FRESH_S, LEEWAY_S, Provider
from service.oidc_settings import Oidc, grant
from tests.db.provider import AUDIENCE, Signer, signer

ROLES = tuple(map(grant, ("ml=operator", "leads=approver:flights*+sums", "boss=admin")))


@pytest.fixture
def there() -> Iterator[Signer]:
    with signer() as one:
        yield one


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def provider(there: Signer, clock: Clock | None = None, **more: Any) -> Provider:
    return Provider(Oidc(issuer=there.issuer, audience=AUDIENCE, roles=ROLES, **more), clock or Clock())


async def test_whoever_the_provider_knows_may_do_what_their_groups_may(there: Signer) -> None:
    one = provider(there)
    found = await one.bearer(there.token(groups=["ml", "leads", "other"]))
    assert (found.name, found.via, found.known_as) == ("kim", Via.OIDC, "s-1")
    assert found.rights == {Right.OPERATOR, Right.APPROVER}
    assert found.may_decide("flights_eu")
    assert not found.may_decide("other")
    assert not (await one.bearer(there.token(groups=["boss"]))).speaks_for_others
    nested = provider(there, roles_claim="realm_access.roles")
    assert (await nested.bearer(there.token(realm_access={"roles": ["ml"]}))).rights == {Right.OPERATOR}
    assert (await provider(there, roles_claim="scope").bearer(there.token(scope="a ml"))).rights == {Right.OPERATOR}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_keys_of_each_kind(there: Signer, algorithm: str) -> None:
    there.add("two", algorithm)
    assert (await provider(there).bearer(there.token("two"))).name == "kim"


# Times are seconds from when the token is made.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"exp": -LEEWAY_S - 5}, "expired"),
    ({"nbf": 600}, "not yet valid"),
    ({"iat": 600}, "not yet valid"),
    ({"aud": "another"}, "[Aa]udience"),
    ({"aud": ["another", "third"]}, "[Aa]udience"),
    ({"iss": "https://evil.example"}, "[Ii]ssuer"),
    *(({name: None}, name) for name in ("exp", "iat", "iss", "aud", "sub")),
    ({"preferred_username": None}, "name_claim"),
    ({"preferred_username": ["kim"]}, "name_claim"),
    ({"groups": []}, "none of the groups"),
    ({"groups": None}, "none of the groups"),
    ({"groups": {"ml": True}}, "none of the groups"),
]


@pytest.mark.parametrize(("claims", "told"), WRONG)
async def test_a_claim_that_is_wrong_is_told(there: Signer, claims: dict[str, Any], told: str) -> None:
    from_now = {name: int(time.time()) + value if isinstance(value, int) else value for name, value in claims.items()}
    with pytest.raises(NotLetIn, match=told):
        await provider(there).bearer(there.token(**from_now))


async def test_a_token_just_expired_counts_within_the_leeway(there: Signer) -> None:
    assert (await provider(there).bearer(there.token(exp=int(time.time()) - LEEWAY_S + 15))).name == "kim"


def part(given: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(given).encode()).decode().rstrip("=")


async def test_what_was_signed_otherwise_or_changed_is_refused(there: Signer) -> None:
    one, good = provider(there), there.token()
    header, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    public = there.private["one"][0].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    confused = f"{part({'alg': 'HS256', 'kid': 'one'})}.{body}"
    hmac_key: Any = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    by_public = urlsafe_b64encode(hmac_key.sign(confused.encode(), pem)).decode().rstrip("=")
    there.add("unlisted", "RS512")
    other = Signer()
    other.issuer = there.issuer
    other.add("one")
    wrong = {
        "changed": f"{header}.{part({**claims, 'groups': ['boss']})}.{signature}",
        "no signature": f"{header}.{body}.",
        "alg none": f"{part({'alg': 'none', 'kid': 'one'})}.{body}.",
        "alg None": f"{part({'alg': 'None'})}.{body}.",
        "no alg": f"{part({'kid': 'one'})}.{body}.{signature}",
        "public key as secret": f"{confused}.{by_public}",
        "not in the list": there.token("unlisted"),
        "another's key of that name": other.token(),
        "key of another kind": f"{part({'alg': 'ES256', 'kid': 'one'})}.{body}.{signature}",
        "critical header": f"{part({'alg': 'RS256', 'kid': 'one', 'crit': ['x'], 'x': 1})}.{body}.{signature}",
        "own key": f"{part({'alg': 'RS256', 'jwk': other.jwk('one')})}.{other.token().partition('.')[2]}",
        "too long": good + "A" * 20_000,
        "no token": "a.b.c",
    }
    taken = []
    for name, token in wrong.items():
        try:
            await one.bearer(token)
        except NotLetIn:
            continue
        taken.append(name)
    assert taken == []
    assert (await one.bearer(good)).name == "kim"


async def test_a_new_key_is_asked_for_and_not_too_often(there: Signer) -> None:
    clock = Clock()
    one = provider(there, clock)
    for _ in range(20):
        await one.bearer(there.token())
    assert (there.asked["/jwks"], there.asked["/.well-known/openid-configuration"]) == (1, 1)
    there.add("two")
    with pytest.raises(NotLetIn, match="no key"):
        await one.bearer(there.token("two"))
    clock.now += AGAIN_S + 1
    assert (await one.bearer(there.token("two"))).name == "kim"
    assert there.asked["/jwks"] == 2
    # Tokens with made-up keys do not make us a burden to the provider.
    other = Signer()
    other.issuer = there.issuer
    other.add("made up")
    clock.now += AGAIN_S + 1
    for _ in range(50):
        with pytest.raises(NotLetIn, match="no key"):
            await one.bearer(other.token("made up"))
    assert there.asked["/jwks"] == 3
    # A key that the provider withdrew counts no more once its keys were read again.
    token = there.token("one")
    del there.private["one"]
    assert (await one.bearer(token)).name == "kim"
    clock.now += FRESH_S + 1
    with pytest.raises(NotLetIn, match="no key"):
        await one.bearer(token)


async def test_a_provider_that_is_away_is_told_apart_from_a_wrong_token(there: Signer) -> None:
    clock = Clock()
    one, token = provider(there, clock), there.token()
    there.away = True
    for _ in range(20):
        with pytest.raises(ProviderAway):
            await one.bearer(token)
    assert there.asked["/.well-known/openid-configuration"] == 1
    there.away = False
    clock.now += AGAIN_S + 1
    assert (await one.bearer(token)).name == "kim"
    there.away = True
    clock.now += FRESH_S / 2
    assert (await one.bearer(token)).name == "kim"


async def test_a_provider_that_says_it_is_another_is_not_believed(there: Signer) -> None:
    own, there.issuer = there.issuer, "https://evil.example"
    one = Provider(Oidc(issuer=own, audience=AUDIENCE, roles=ROLES))
    with pytest.raises(ProviderAway, match="another issuer"):
        await one.bearer(there.token())


async def test_an_issuer_that_ends_in_a_slash_is_the_one_of_the_settings(there: Signer) -> None:
    one = provider(there)
    there.issuer += "/"
    assert (await one.bearer(there.token())).name == "kim"
    with pytest.raises(NotLetIn, match=r"[Ii]ssuer"):
        await one.bearer(there.token(iss=there.issuer.rstrip("/")))


@pytest.mark.parametrize("given", ["ml", "ml=king", "=viewer", "leads=approver", "ml=operator:flights", 5])
def test_a_grant_that_makes_no_sense_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="group=role"):
        grant(given)


def test_settings_that_do_not_go_together_are_told() -> None:
    assert oidc_problems(Oidc()) == []
    assert oidc_problems(Oidc(issuer="https://id.example", client_id="x", roles=ROLES)) == []
    told = " ".join(oidc_problems(Oidc(issuer="http://id.example")))
    for part_of in ("https", "oidc.audience", "oidc.roles"):
        assert part_of in told
    assert "no oidc.issuer" in oidc_problems(Oidc(client_id="x"))[0]
