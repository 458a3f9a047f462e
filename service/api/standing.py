"""What a caller may do, and under which name it is recorded."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from starlette.types import Scope

from service.api.problems import Problem
from service.callers import NOBODY, Caller, Right

CALLER = "tidemill.caller"


def caller_of(scope: Scope) -> Caller:
    """Who asks, as `Access.check` knew them."""
    found: Caller = scope.get(CALLER, NOBODY)
    return found


def require(scope: Scope, right: Right | None) -> None:
    """Raises 403 for whoever has not that role."""
    caller = caller_of(scope)
    if right is not None and not caller.may(right):
        raise Problem(403, f"this takes the role {right.value}, and you are {caller.tells()}: ask an admin for it")


def require_gate(scope: Scope, pipeline: str, what: str = "this") -> None:
    """Raises 403 for whoever decides no gates of a pipeline. `what` takes that."""
    caller = caller_of(scope)
    if not caller.may_decide(pipeline):
        of = f" for {', '.join(caller.pipelines)}" if caller.pipelines else ""
        raise Problem(
            403, f"{what} takes the role approver for {pipeline}, and you are {caller.tells()}{of}: ask an admin for it"
        )


def require_link_for(scope: Scope, person: str) -> None:
    """Raises 403 for whoever would be handed a link by which somebody else decides: to have it is to vote as them."""
    caller = caller_of(scope)
    if caller.name != person and not caller.speaks_for_others:
        raise Problem(
            403,
            f"a link for {person[:80]!r} votes as them, and you are {caller.tells()}: ask for one in your own name, or"
            " let an admin's program make it",
        )


def own_key(scope: Scope, key: str) -> str:
    """A key that others cannot have: no key has a space."""
    name = caller_of(scope).name
    return f"{name} {key}" if name else key


def recorded_as(scope: Scope, given: str | None, *, personal: bool = False) -> str | None:
    """Under which name something is recorded. Who has a name of their own has no other, unless they speak for others.

    `personal`: the name decides what comes of it; raises 403 for another's.
    """
    caller = caller_of(scope)
    if not caller.name or (given is not None and caller.speaks_for_others):
        return given
    if personal and given not in (None, caller.name):
        raise Problem(403, f"{str(given)[:80]!r} is not you: you are {caller.tells()}, and decide in your own name")
    return caller.name


def in_own_name(scope: Scope, model: type[BaseModel], value: Any) -> Any:
    """A body with the name under which it is recorded. Raises 403 for a vote in another's name."""
    if "by" not in model.model_fields or not isinstance(value, dict):
        return value
    name = recorded_as(scope, value.get("by"), personal=getattr(model, "personal", False))
    return value if name is None else {**value, "by": name}
