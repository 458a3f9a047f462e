"""Who signs people in: a provider of OpenID Connect, and what its groups may do here."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from service import values
from service.callers import Right
from service.setting import setting

EVERYBODY = "*"


class Algorithm(enum.StrEnum):
    """How tokens may be signed: by a key that only the provider has."""

    RS256 = "RS256"
    RS384 = "RS384"
    RS512 = "RS512"
    PS256 = "PS256"
    PS384 = "PS384"
    PS512 = "PS512"
    ES256 = "ES256"
    ES384 = "ES384"
    ES512 = "ES512"
    EDDSA = "EdDSA"


class Grant(NamedTuple):
    """What those of a group may do; an approver, for pipelines of these names or patterns."""

    group: str
    right: Right
    pipelines: tuple[str, ...] = ()

    def __str__(self) -> str:
        pipelines = f":{'+'.join(self.pipelines)}" if self.pipelines else ""
        return f"{self.group}={self.right.value}{pipelines}"


def grant(raw: Any) -> Grant:
    """`group=role`, or `group=approver:pipeline+pipeline`."""
    group, _, rest = raw.rpartition("=") if isinstance(raw, str) else ("", "", "")
    role, _, patterns = rest.partition(":")
    pipelines = tuple(one.strip() for one in patterns.split("+") if one.strip())
    known = {right.value: right for right in Right}
    right = known.get(role.strip())
    if not group.strip() or right is None or (right is Right.APPROVER) != bool(pipelines):
        raise ValueError("group=role, several with commas, such as ml=operator,leads=approver:flights*,*=viewer")
    return Grant(group.strip(), right, pipelines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """The provider. Without an `issuer` nobody signs people in."""

    issuer: str | None = setting(None, values.http_url, "OpenID Connect provider whose tokens are taken; https")
    audience: str | None = setting(None, values.text, "whom its tokens must be for", default_text="`oidc.client_id`")
    client_id: str | None = setting(None, values.text, "our name there, for signing in by browser")
    client_secret: str | None = setting(None, values.text, "and our secret, where it wants one", secret=True)
    scopes: str = setting("openid profile email", values.text, "what a browser's sign-in asks it for")
    name_claim: str = setting("preferred_username", values.text, "claim with the name under which one acts")
    roles_claim: str = setting("groups", values.text, "claim with one's groups; `a.b` is b within a")
    roles: tuple[Grant, ...] = setting(
        (), values.several(grant), "what groups may do: `ml=operator,leads=approver:flights*,*=viewer`; `*`: everybody"
    )
    algorithms: tuple[Algorithm, ...] = setting(
        (Algorithm.RS256, Algorithm.ES256, Algorithm.EDDSA),
        values.some(values.choice(Algorithm)),
        "how its tokens may be signed",
    )
    session_s: float = setting(
        28_800.0,
        values.seconds(60, 604_800),
        "how long a browser stays signed in before the provider is asked again",
    )
    ssl_cafile: Path | None = setting(None, values.path, "certificates to trust (PEM); default: the system's")
