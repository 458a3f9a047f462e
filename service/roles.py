"""Who may decide a gate: the people and groups it names, and who is in which group here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a person may decide. `role` is the name or group that lets them, None where anybody may."""

    allowed: bool
    role: str | None = None
    note: str = ""


def standing(
    person: str, asked: Sequence[str], groups: Mapping[str, Sequence[str]], needed: int = 1, *, named: bool = False
) -> Standing:
    """Whether `person` may decide a gate that asks for `asked`.

    A name that is no group is a person's. Where no group is known at all, nobody can tell who plays a role: anybody
    may, and the note says so. Of those who are `named` one by one nobody has to be told who they are.
    """
    if not asked:
        return Standing(True)
    if not groups and not named:
        return Standing(True, note=f"no groups are set (TIDEMILL_GROUPS), so anybody may decide for {spoken(asked)}")
    people = {one for name in asked for one in groups.get(name, (name,))}
    short = (
        "" if len(people) >= needed else f"only {len(people)} may decide and {needed} must: {spoken(sorted(people))}"
    )
    for name in asked:
        if person in groups.get(name, (name,)):
            return Standing(True, name, short)
    return Standing(False, None, "; ".join(_members(name, groups) for name in asked))


def spoken(names: Sequence[str]) -> str:
    """Names as one says them."""
    return " or ".join(names)


def _members(name: str, groups: Mapping[str, Sequence[str]]) -> str:
    if name in groups:
        return f"{name} ({', '.join(groups[name])})"
    return f"{name} (a person: there is no group of that name in TIDEMILL_GROUPS)"
