"""How much one record may be once it is decoded: a few bytes can be a great deal in the formats that have schemas."""

from __future__ import annotations

MOST_VALUES = 1_000_000
"""How many values a record may have: fields, items, and what holds them."""
