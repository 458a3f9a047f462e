"""The gate that waits for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.gates.base import LONGEST_WAIT_S, GateContext, GateResult, GateState
from stages.rules import is_list, shown

MOST_PEOPLE = 100


@dataclass(frozen=True)
class Approval:
    """Always waits: the run holds no worker until enough people have approved, one rejects, or its time is over.

    `named`: nobody else than `by` may, whether groups are set or not.
    """

    name: str
    by: tuple[str, ...]
    n: int = 1
    expires_s: float | None = None
    needs_output: bool = False
    named: bool = False

    def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`. Its evidence is what the votes are held against."""
        whom = " or ".join(self.by) or "anybody"
        asked: dict[str, Any] = {"by": list(self.by), "needed": self.n}
        if self.named:
            asked["named"] = True
        if self.expires_s is not None:
            asked["expires_s"] = self.expires_s
        told = f"waits for {whom}" if self.n == 1 else f"waits for {self.n} people of {whom}"
        return GateResult(GateState.WAITING, told, asked, self.expires_s)


def approved(
    by: str | Sequence[str] | None = None, *, n: int = 1, expires_s: float | None = None, name: str = "approved"
) -> Approval:
    """Wait until `n` different people have approved the source's output; one rejection fails the run.

    `by` says who may: a role, or a list of names. Each is a group of the setting `groups`, or else a person. A role
    alone lets anybody while no groups are set; a list never does. Without `by` anybody may. What nobody decided
    within `expires_s` fails. Raises `ValueError` where `by` is given and names nobody.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_PEOPLE:
        raise ValueError(f"approved(n={n!r}): how many people must approve, from 1 to {MOST_PEOPLE}")
    if expires_s is not None and not 0 < expires_s < LONGEST_WAIT_S:
        raise ValueError(f"approved(expires_s={expires_s!r}): seconds from when it is asked, or None for ever")
    return Approval(name, _names(by), n, expires_s, named=by is not None and not isinstance(by, str))


def _names(by: str | Sequence[str] | None) -> tuple[str, ...]:
    """Without the space around them, as the names of voters are."""
    if by is None:
        return ()
    if not isinstance(by, str) and not (is_list(by) and all(isinstance(one, str) for one in by)):
        raise ValueError(
            f"approved(by={shown(by)}): give a role, as in by='leads', or a list of names, each of them text"
        )
    given = [by] if isinstance(by, str) else list(by)
    if len(given) > MOST_PEOPLE:
        raise ValueError(f"approved(by={by!r}): up to {MOST_PEOPLE} names; make a group of those who are more")
    names = tuple(one.strip() for one in given)
    if not names or not all(names):
        raise ValueError(
            f"approved(by={by!r}): {'a name in it is empty' if any(names) else 'it names nobody'}: "
            f"say who may approve, or leave `by` out for anybody"
        )
    return names
