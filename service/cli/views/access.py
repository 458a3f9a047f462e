"""Who may ask the daemon for what, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.cli.output import Column, print_table
from service.words.deeds import plainly
from service.words.parts import how_far, moment

TOKENS = (
    Column("TOKEN"),
    Column("BEGINS", from_width=80),
    Column("ROLES", wrap=True),
    Column("STATE"),
    Column("LAST USED", from_width=60),
    Column("UNTIL", from_width=100),
    Column("MADE BY", from_width=110),
)
AUDIT = (
    Column("WHEN"),
    Column("WHO"),
    Column("KNOWN BY", from_width=100),
    Column("FROM", from_width=120),
    Column("WHAT", wrap=True),
    Column("ANSWER", right=True),
    Column("MORE", from_width=100, wrap=True),
)


def print_tokens(answer: Mapping[str, Any], now: datetime) -> None:
    """One line a token."""
    rows = [
        (
            one["name"],
            one["prefix"],
            _roles(one),
            one["state"],
            how_far(one["last_used_at"], now) if one["last_used_at"] else "never",
            moment(one["expires_at"], now) if one["expires_at"] else "revoked",
            one["created_by"],
        )
        for one in answer["tokens"]
    ]
    print_table(TOKENS, rows, nothing="there are no tokens: tidemill tokens create NAME --role viewer")


def _roles(one: Mapping[str, Any]) -> str:
    gates = f" ({', '.join(one['pipelines'])})" if one["pipelines"] else ""
    return ", ".join(role + (gates if role == "approver" else "") for role in one["roles"])


def _who(one: Mapping[str, Any]) -> str:
    who, said = one["who"], one["said"]
    return f"{who} for {said}" if who and said and said != who else who or said or "nobody"


def print_audit(answer: Mapping[str, Any], now: datetime) -> None:
    """One line a request."""
    rows = [
        (
            how_far(one["at"], now),
            _who(one),
            " ".join((one["via"], one["known_as"])).strip(),
            one["address"],
            f"{one['action'].partition(' ')[0]} {one['object']}",
            one["answer"],
            ", ".join(f"{name}: {plainly(value)}" for name, value in one["detail"].items()),
        )
        for one in answer["entries"]
    ]
    print_table(AUDIT, rows, nothing="nothing of that kind was done")
