"""What the triggers of one policy have seen, and what they still wait for. Decides only: no file is read here."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from triggers.base import Binding, Offer, Position
from triggers.event import Event
from triggers.files.event import decode_path, encode_path
from triggers.files.pattern import Pattern
from triggers.files.policy import Policy, Promise, Sighting, Verdict, is_due, sight
from triggers.files.scan import Scanner, Survey, cover
from triggers.files.stamp import Found
from triggers.match import offer

HINTS_KEPT = 10_000
TROUBLES_KEPT = 1_000
# A file that is gone is remembered this long: a share that is away for a while looks like one without files.
GONE_S = 3_600.0
SHORTEST_WAIT_S = 0.05
# A scan that was asked for waits ten times as long as the last one took.
REST_FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class Landed:
    """A complete file, its identity, and the event it makes."""

    feed: Feed
    found: Found
    identity: str
    event: Event


class Feed:
    """All bindings with one policy, and the memory of their files: a number for each file seen, nothing more.

    `is_new` is asked from scanning threads; everything else belongs to the loop.
    """

    def __init__(self, policy: Policy, bindings: Sequence[Binding], root: str, stop: threading.Event) -> None:
        self.policy = policy
        self.root = root
        self.bindings = bindings
        texts = list(dict.fromkeys(binding.trigger.pattern for binding in bindings))
        self.patterns = [Pattern.of(text, root) for text in texts]
        self._listeners = [(texts.index(binding.trigger.pattern), binding) for binding in bindings]
        self.scanner = Scanner(root, self.patterns, policy, self.is_new, stop)
        self.scopes = [self.scope_of(pattern) for pattern in self.patterns]
        self.watched = [] if policy.poll else cover(pattern.base for pattern in self.patterns)
        self.rescan_s: float = min(binding.trigger.interval_s for binding in bindings)
        self.wake = asyncio.Event()
        self.scanned = False
        self.missing: Sequence[str] = ()
        self.linked: frozenset[int] = frozenset()
        self._incomplete: dict[str, tuple[int, ...]] = {}
        self._incomplete_by_scan: dict[str, tuple[int, ...]] = {}
        self._left_out: dict[str, str] = {}
        self._unread: dict[str, str] = {}
        self.scan_at_s = 0.0
        self._scan_ended_s = 0.0
        self._scan_took_s = 0.0
        self._seen: list[dict[str, int]] = [{} for _ in self.patterns]
        self._gone: list[dict[str, float]] = [{} for _ in self.patterns]
        self._hints: set[str] = set()
        self._waiting: dict[str, Sighting] = {}
        self._in_flight: dict[str, int] = {}
        self._restless: set[str] = set()
        self._refused: dict[str, tuple[str, Mapping[str, Promise], str]] = {}

    @property
    def lag(self) -> int:
        """Files that were noticed, are complete or may be, and have not led to an accepted event yet."""
        return len(self._waiting) + len(self._in_flight)

    def place_of(self, binding: Binding) -> int:
        """Which of `patterns` is that of a binding."""
        return next(at for at, one in self._listeners if one is binding)

    def incomplete(self, at: int) -> list[str]:
        """The keys of what the pattern `at` means and what the policy says is not complete: so many as are kept."""
        return [key for key, patterns in self._incomplete.items() if at in patterns]

    def is_linked(self, at: int) -> bool:
        """Whether there are symbolic links to folders where the pattern `at` looks, or near enough not to be watched.

        Whoever watches a folder would follow those below it, out of the root and round in circles.
        """
        base = self.patterns[at].base
        return any(_overlap(base, self.patterns[other].base) for other in self.linked)

    @property
    def to_watch(self) -> list[str]:
        """Those of the folders `watched` in which there are no symbolic links to folders."""
        linked = [self.patterns[at].base for at in self.linked]
        return [folder for folder in self.watched if not any(_overlap(folder, one) for one in linked)]

    def scope_of(self, pattern: Pattern, *, other_identity: bool = False) -> str:
        """The scope of a pattern's positions, or what it would be were digesting switched the other way."""
        policy = self.policy
        settings = [policy.complete if policy.sign is None else f"{policy.complete}={policy.sign}"]
        settings += [f"stable_s={policy.stable_s:g}", *policy.ignore]
        settings += [word for word, on in (("poll", policy.poll), ("follow", policy.follow_symlinks)) if on]
        if policy.digest is other_identity:
            settings.append("undigested")
        where = pattern.text if pattern.text.startswith("/") else f"{self.root.rstrip('/')}/{pattern.text}"
        return f"files:{encode_path(where)} {' '.join(settings)}"

    def remember(self, at: int, positions: Mapping[str, str]) -> None:
        """Take what was seen before this start, as `Inbox.positions` told it. May be long: call it from a thread."""
        self._seen[at] = {key: hash(value.rpartition(":")[0]) for key, value in positions.items()}

    def is_new(self, key: str, mark: int, patterns: tuple[int, ...]) -> bool:
        """Whether one of `patterns` has not seen this file as it looks now. Called from threads."""
        return any(self._seen[at].get(key) != mark for at in patterns)

    def ask_scan(self, now_s: float, delay_s: float = 0.0) -> None:
        """Scan everything in `delay_s`, or later where that would keep the disk busy."""
        rested_s = self._scan_ended_s + REST_FACTOR * self._scan_took_s
        self.scan_at_s = min(self.scan_at_s, max(now_s + delay_s, rested_s))
        self.wake.set()

    def begin_scan(self) -> None:
        """A whole scan begins: what is asked for from now on wants another one. Unreadable files are tried again."""
        self.scan_at_s = math.inf
        self._unread.clear()
        self._incomplete_by_scan = {}

    def surveyed(self, survey: Survey, now_s: float, took_s: float, interval_s: float) -> None:
        """Note what a whole scan told; the next one is due `interval_s` from now."""
        self.scanned = True
        self.missing, self.linked = survey.missing, frozenset(survey.linked)
        self._incomplete, self._incomplete_by_scan = self._incomplete_by_scan | survey.unmarked, {}
        self._left_out = dict(survey.troubles)
        self._scan_ended_s, self._scan_took_s = now_s, took_s
        self.scan_at_s = min(self.scan_at_s, now_s + interval_s)

    def clock_set_back(self, now_s: float) -> bool:
        """Whether the clock reads earlier than at the last scan, so that what is planned is off."""
        return now_s < self._scan_ended_s

    def hint(self, paths: Iterable[str], now_s: float) -> None:
        """Something changed at `paths`: look there soon."""
        self._hints.update(paths)
        if len(self._hints) > HINTS_KEPT:
            self._hints.clear()
            self.ask_scan(now_s)
        self.wake.set()

    def take_hints(self) -> set[str]:
        """Where to look now."""
        hints, self._hints = self._hints, set()
        return hints

    def refusal(self, found: Found) -> str | None:
        """Why this file, under this manifest, was refused."""
        stamp, promises, reason = self._refused.get(found.key, ("", {}, ""))
        return reason if (stamp, promises) == (found.stamp, found.promises) else None

    def notice(self, found: Found, now_s: float) -> bool:
        """Whether to read the file now. If not, it is remembered to be looked at again."""
        if found.key in self._in_flight:
            if self._in_flight[found.key] != found.mark:
                self._restless.add(found.key)
            return False
        # It may have been accepted since the scanning thread asked whether it was new.
        is_seen = not self.is_new(found.key, found.mark, found.patterns)
        self._hold(found, not is_seen and found.verdict is Verdict.NOT_YET)
        if is_seen or found.verdict is Verdict.NOT_YET:
            self._waiting.pop(found.key, None)
            return False
        if found.verdict is Verdict.UNCHANGED_FIRST and not self._has_settled(found, now_s):
            return False
        self._waiting.pop(found.key, None)
        self._in_flight[found.key] = found.mark
        return True

    def _hold(self, found: Found, incomplete: bool) -> None:
        for kept in (self._incomplete, self._incomplete_by_scan):
            if not incomplete:
                kept.pop(found.key, None)
            elif len(kept) < HINTS_KEPT:
                kept[found.key] = found.patterns

    def _has_settled(self, found: Found, now_s: float) -> bool:
        earlier = self._waiting.get(found.key)
        sighting = sight(found.mark, earlier, now_s)
        if sighting is not earlier:
            self._wait_for(found.key, sighting)
        return is_due(sighting, now_s, self.policy.stable_s)

    def _wait_for(self, key: str, sighting: Sighting) -> None:
        self._waiting.pop(key, None)
        self._waiting[key] = sighting

    def due_at_s(self) -> float | None:
        """When the file that waits longest should be looked at again. They wait in the order they came."""
        first = next(iter(self._waiting.values()), None)
        return None if first is None else first.since_s + max(self.policy.stable_s, SHORTEST_WAIT_S)

    def due(self, now_s: float, limit: int) -> list[str]:
        """Up to `limit` keys of files whose wait is over."""
        keys: list[str] = []
        for key, sighting in self._waiting.items():
            if len(keys) == limit or not is_due(sighting, now_s, max(self.policy.stable_s, SHORTEST_WAIT_S)):
                break
            keys.append(key)
        return keys

    def drop(self, keys: Iterable[str]) -> None:
        """Wait for these no more: they are gone, or known already."""
        for key in keys:
            self._waiting.pop(key, None)

    def offers(self, landed: Landed) -> list[Offer]:
        """What every trigger whose pattern matches makes of it."""
        return [offer(binding, landed.event) for binding in self.listening_to(landed.found)]

    def listening_to(self, found: Found) -> list[Binding]:
        """The bindings whose pattern matches."""
        return [binding for at, binding in self._listeners if at in found.patterns]

    def positions(self, landed: Landed) -> list[Position]:
        """What to store with the event, so that a restart need not read the file again."""
        found = landed.found
        value = f"{found.stamp}:{landed.identity}"
        return [Position(self.scopes[at], found.key, value) for at in found.patterns]

    def accepted(self, found: Found, now_s: float) -> None:
        """The event is durable: the file counts as seen."""
        for at in found.patterns:
            self._seen[at][found.key] = found.mark
        self.release(found, now_s)

    def release(self, found: Found, now_s: float, *, again: bool = False) -> None:
        """The file is in nobody's hands any more; with `again`, or if it changed meanwhile, it is looked at again."""
        self._in_flight.pop(found.key, None)
        if again or found.key in self._restless:
            self._restless.discard(found.key)
            self._wait_for(found.key, Sighting(found.mark, now_s))
            self.wake.set()

    def refuse(self, found: Found, reason: str) -> None:
        """Its manifest does not describe it: read it again only when either changes."""
        self._in_flight.pop(found.key, None)
        if len(self._refused) >= HINTS_KEPT:
            self._refused.clear()
        self._refused[found.key] = (found.stamp, found.promises, reason)
        self.leave_out({found.path: reason})

    def leave_out(self, troubles: Mapping[str, str], looked_at: Iterable[str] = ()) -> None:
        """Keep the reasons why these paths are left out, until the next scan tells anew. Whatever else was `looked_at`
        is in order by now.
        """
        for path in looked_at:
            self._left_out.pop(path, None)
        self._left_out.update(islice(troubles.items(), max(TROUBLES_KEPT - len(self._left_out), 0)))

    def unread(self, found: Found, reason: str, now_s: float) -> None:
        """The file could not be read: it is tried again with the next scan."""
        if len(self._unread) < TROUBLES_KEPT:
            self._unread[found.path] = reason
        self.release(found, now_s)

    @property
    def troubles(self) -> Mapping[str, str]:
        """Why files and folders are left out for now, by path."""
        return self._left_out | self._unread

    def troubles_of(self, at: int) -> Mapping[str, str]:
        """Those among the `troubles` that the pattern `at` may have to do with."""
        base = self.patterns[at].base
        return {path: why for path, why in self.troubles.items() if _overlap(path, base)}

    def too_much_remembered(self, matched: int) -> bool:
        """Whether most of what is remembered is of files that are gone."""
        return sum(map(len, self._seen)) > 2 * matched * len(self._seen) + TROUBLES_KEPT

    def long_gone(self, at: int, gone: Iterable[str], now_s: float) -> list[str]:
        """Those of the files of the pattern `at` that are `gone` now and were when asked `GONE_S` ago, and since."""
        earlier = self._gone[at]
        self._gone[at] = {key: min(earlier.get(key, now_s), now_s) for key in gone}
        return [key for key, since_s in self._gone[at].items() if now_s - since_s >= GONE_S]

    def forget(self, at: int, keys: Sequence[str]) -> list[Position]:
        """Remember these files of the pattern `at` no more; what to store so that a restart does not either."""
        for key in keys:
            self._seen[at].pop(key, None)
            self._gone[at].pop(key, None)
        return [Position(self.scopes[at], key, "") for key in keys]

    def remembered(self, at: int) -> list[str]:
        """The keys of all files seen by the pattern `at`."""
        return list(self._seen[at])

    def path(self, key: str) -> str:
        """Where the file or folder `key` is."""
        path = decode_path(key).rstrip("/")
        return path if path.startswith("/") else f"{self.root.rstrip('/')}/{path}"


def _overlap(one: str, other: str) -> bool:
    """Whether one of two paths is the other, or below it."""
    one, other = f"{one.rstrip('/')}/", f"{other.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)
