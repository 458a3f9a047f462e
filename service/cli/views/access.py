"""Who may ask the daemon for what, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.cli.output import Column, print_table
from service.cli.views.words import how_far, moment

TOKENS = (
    Column("TOKEN"),
    Column("BEGINS", from_width=80),
    Column("ROLES", wrap=True),
    Column("STATE"),
    Column("LAST USED", from_width=60),
    Column("UNTIL", from_width=100),
    Column("MADE BY", from_width=110),
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
