"""The rows that reads return, under a name that other packages may use."""

from __future__ import annotations

from typing import TypeAlias

import asyncpg

Row: TypeAlias = asyncpg.Record
