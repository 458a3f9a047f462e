"""Private keys that come line by line: no line but the first and the last looks like a part of one."""

from __future__ import annotations

import re
from collections.abc import Hashable

MOST_LINES = 200
"""A key of RSA with 16,384 bits has fewer lines. A stray first line hides no more than these."""

_EDGE = re.compile(r"-----(BEGIN|END) [A-Z ]*PRIVATE KEY-----", re.IGNORECASE)


class KeyLines:
    """Knows of several streams of lines which are within a key at the moment. Lines of one stream come in order."""

    def __init__(self) -> None:
        self._left: dict[Hashable, int] = {}

    def hides(self, stream: Hashable, line: str) -> bool:
        """Whether this line goes on with a key, or ends it. The line that begins one is left to `Secrets.mask`."""
        left = self._left.get(stream, 0)
        edges: list[str] = _EDGE.findall(line) if "-----" in line else []
        begins = bool(edges) and edges[-1].upper() == "BEGIN"
        if begins:
            self._left[stream] = MOST_LINES
        elif edges or left == 1:
            self._left.pop(stream, None)
        elif left:
            self._left[stream] = left - 1
        return left > 0
