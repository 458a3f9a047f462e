"""Named points where tests stop, delay, fail or kill a process. Free in production: one falsy check.

Set `TIDEMILL_FAULTS` to `point=action[@n]`, comma-separated: `crash` ends the process at once (as kill -9 would),
`fail` raises OSError, `full` the one of a full disk, `stop` suspends the process (SIGSTOP), `delay:SECONDS` waits,
`clock:SECONDS` sets its clock forward, or back. `@n` acts only the n-th time the point is reached. `*=note:FILE` writes
the name of each point into a file the first time a process reaches it.
`service.fault_points` lists the points. This floor is the lowest, so that every floor can have some.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from triggers.event import set_clock


@dataclass(frozen=True, slots=True)
class _Act:
    verb: str
    nth: int = 0
    seconds: float = 0.0


_plan: dict[str, _Act] = {}
_reached: Counter[str] = Counter()
_notes = ""


def arm(text: str) -> None:
    """Replace the plan. Raises ValueError for what is not `point=action[@n]`."""
    global _notes
    _plan.clear()
    _reached.clear()
    _notes = ""
    for part in filter(None, text.split(",")):
        point, _, action = part.partition("=")
        verb, _, given = action.partition(":")
        if verb == "note" and point == "*" and given:
            _notes = given
        else:
            _plan[point] = _act(part, action)


def _act(part: str, action: str) -> _Act:
    does, _, nth = action.partition("@")
    verb, _, seconds = does.partition(":")
    try:
        if verb in ("crash", "fail", "full", "stop") and not seconds:
            return _Act(verb, int(nth or 0))
        if verb in ("delay", "clock"):
            return _Act(verb, int(nth or 0), float(seconds))
    except ValueError:
        pass
    raise ValueError(
        f"TIDEMILL_FAULTS: {part!r}: write POINT=crash, POINT=fail, POINT=full, POINT=stop, POINT=delay:SECONDS "
        "or POINT=clock:SECONDS, with @N for the N-th time only, or *=note:FILE"
    )


def armed() -> bool:
    """Whether there is a plan at all."""
    return bool(_plan or _notes)


async def reach(point: str) -> None:
    """Say that the code is at `point`. Raises OSError where the plan says fail."""
    if not (_plan or _notes):
        return
    act = _due(point)
    if act is not None and act.verb == "delay":
        await asyncio.sleep(act.seconds)
    elif act is not None:
        _happen(point, act)


def reach_in_thread(point: str) -> None:
    """The same for code that may block."""
    if not (_plan or _notes):
        return
    act = _due(point)
    if act is not None and act.verb == "delay":
        time.sleep(act.seconds)
    elif act is not None:
        _happen(point, act)


def _due(point: str) -> _Act | None:
    """What the plan has for this time that the point is reached."""
    _reached[point] += 1
    if _notes and _reached[point] == 1:
        _note(point)
    act = _plan.get(point)
    return None if act is None or (act.nth and _reached[point] != act.nth) else act


def _note(point: str) -> None:
    with Path(_notes).open("a", encoding="utf-8") as file:
        file.write(f"{point}\n")


def _happen(point: str, act: _Act) -> None:
    match act.verb:
        case "crash":
            os._exit(137)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "clock":
            set_clock(act.seconds)
        case "full":
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} (fault injected at {point})")
        case _:
            raise OSError(f"fault injected at {point}")


arm(os.environ.get("TIDEMILL_FAULTS", ""))
