"""Who asks: what they have shown of themselves, and what they may do."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase


class Right(enum.StrEnum):
    """A role of a caller. Each may look at everything but the audit log and the tokens; an admin may do everything."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Via(enum.StrEnum):
    """How a caller was known."""

    LOCAL = "local"
    HOLDER = "api_token"
    NAMED = "token"
    OIDC = "oidc"
    LINK = "link"
    STAGE = "stage"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Caller:
    """A program or a person. `name` is empty where nothing was shown that has one; `known_as` tells what was shown: the
    beginning of a token, or the subject at the provider. `pipelines` are patterns: whose gates an approver may decide.
    """

    name: str
    via: Via
    rights: frozenset[Right]
    pipelines: tuple[str, ...] = ()
    known_as: str = ""

    def may(self, right: Right) -> bool:
        """Whether they may do what that role may."""
        return right in self.rights or Right.ADMIN in self.rights or (right is Right.VIEWER and bool(self.rights))

    def may_decide(self, pipeline: str) -> bool:
        """Whether they may decide gates of a pipeline; whom a gate asks for is another matter (`service.roles`)."""
        named = Right.APPROVER in self.rights and any(fnmatchcase(pipeline, one) for one in self.pipelines)
        return named or Right.ADMIN in self.rights

    @property
    def speaks_for_others(self) -> bool:
        """Whether what they do may be recorded under another name: programs of admins, which know who asks them."""
        return self.via is not Via.OIDC and Right.ADMIN in self.rights

    def tells(self) -> str:
        """Who it is, and as what they may act."""
        roles = spoken(self.rights)
        shown = f" ({self.known_as})" if self.known_as else ""
        return f"{self.name or self.via.value}{shown}, who is {roles or 'nothing here'}"


NOBODY = Caller("", Via.NOBODY, frozenset())
# Whoever may speak without a token, or has the one of the settings.
LOCAL = Caller("", Via.LOCAL, frozenset({Right.ADMIN}))
HOLDER = Caller("", Via.HOLDER, frozenset({Right.ADMIN}))
# A stage in another process, which may be in a container because nobody trusts it: for the models alone.
STAGE = Caller("", Via.STAGE, frozenset({Right.OPERATOR}))


# What stands where a name could, of whoever has none and of what the daemon does itself: nobody else is called so.
BUILT_IN = frozenset({*(via.value for via in Via), "api", "cli", "console", "retention", "system", "tidemill"})


# How every token begins that `tidemill tokens` makes, and, by their form, those of a provider (RFC 7519, section 3).
BEGINS, OF_PROVIDER = "tm_", "eyJ"


def is_somebodys(token: str | None) -> bool:
    """Whether a token is one person's or program's own, as one tells by its form: the daemon then knows who asks."""
    given = token or ""
    return given.startswith(BEGINS) or (given.startswith(OF_PROVIDER) and given.count(".") == 2)


def spoken(rights: Iterable[Right]) -> str:
    """Roles as one says them, the lesser first."""
    held = set(rights)
    return " and ".join(right.value for right in Right if right in held)
