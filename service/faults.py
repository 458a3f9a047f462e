"""Named points where tests stop, delay, fail or kill a process. Free in production: one falsy check.

Set `TIDEMILL_FAULTS` to `point=action[@n]`, comma-separated: `crash` ends the process at once (as kill -9 would),
`fail` raises OSError, `stop` suspends the process (SIGSTOP). `@n` acts only the n-th time the point is reached.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

_plan: dict[str, tuple[str, int]] = {}
_reached: Counter[str] = Counter()


def arm(text: str) -> None:
    """Replace the plan. Raises ValueError for what is not `point=action[@n]`."""
    _plan.clear()
    _reached.clear()
    for part in filter(None, text.split(",")):
        point, _, action = part.partition("=")
        verb, _, nth = action.partition("@")
        if verb not in ("crash", "fail", "stop"):
            raise ValueError(f"TIDEMILL_FAULTS: {part!r}: the action is crash, fail or stop")
        _plan[point] = (verb, int(nth or 0))


def armed() -> bool:
    """Whether there is a plan at all."""
    return bool(_plan)


async def reach(point: str) -> None:
    """Say that the code is at `point`. Raises OSError where the plan says fail."""
    if _plan and point in _plan:
        _act(point, *_plan[point])


def _act(point: str, verb: str, nth: int) -> None:
    _reached[point] += 1
    if nth and _reached[point] != nth:
        return
    if verb == "crash":
        os._exit(137)
    if verb == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    raise OSError(f"fault injected at {point}")


arm(os.environ.get("TIDEMILL_FAULTS", ""))
