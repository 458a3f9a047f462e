"""What people did to a run, in words. Pure: each answers what was done and for what reason, of which it speaks once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.words.times import instant

SHOWN_DIGEST = 10
MOST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Deed:
    """What one of them did, such as `resumed it from train`. `at` is as it was given: an instant or its text."""

    at: Any
    by: str
    told: str
    reason: str


def deeds(run: Mapping[str, Any]) -> list[Deed]:
    """What was done to a run and said at its gates, the oldest first; also votes that no longer count."""
    found = [Deed(one["at"], one["by"], *in_words(one["action"], one["detail"])) for one in run["actions"]]
    for gate in run["gates"]:
        found += [_vote(gate, one) for one in gate["history"] if is_vote(one)]
    return sorted(found, key=lambda one: _instant(one.at))


def is_vote(finding: Mapping[str, Any]) -> bool:
    """Whether what was found at a gate is where it stood once a person had voted: not what it asked, nor its end."""
    evidence = finding["evidence"]
    return bool(evidence.get("votes")) and (finding["state"] == "waiting" or "decision" in evidence)


def _vote(gate: Mapping[str, Any], finding: Mapping[str, Any]) -> Deed:
    vote = finding["evidence"]["votes"][-1]
    role = f" as {vote['role']}" if vote.get("role") not in (None, vote["by"]) else ""
    told = f"{vote['decision']} gate {gate['name']}{role}"
    return Deed(finding["decided_at"], vote["by"], told, _reason(gate, finding, vote))


def _reason(gate: Mapping[str, Any], finding: Mapping[str, Any], vote: Mapping[str, Any]) -> str:
    """As it was given; of a vote that was voided since, what the gate said of it."""
    at = _instant(finding["decided_at"])
    for one in gate["votes"] if finding["subject"] == gate["subject"] else ():
        if (one["by"], one["decision"]) == (vote["by"], vote["decision"]) and _instant(one["at"]) <= at:
            return str(one["reason"])
    own = finding["reason"]
    return "" if finding["state"] == "waiting" or own.startswith(f"{vote['decision']} by ") else str(own)


def _instant(given: datetime | str) -> datetime:
    return instant(given) if isinstance(given, str) else given


def in_words(action: str, detail: Mapping[str, Any]) -> tuple[str, str]:
    """An action, and its reason where one was given. What is not known here is told by its name."""
    reason = str(detail.get("reason") or "")
    match action:
        case "cancelled":
            return "cancelled it", reason
        case "abandoned":
            return "gave it up", reason
        case "linked":
            return _linked(detail), reason
        case "skipped":
            return "; ".join([f"skipped stage {detail.get('stage')}", *_anew(detail)]), reason
        case "resumed" | "amended":
            since = f" from {detail['from_stage']}" if detail.get("from_stage") else ""
            return "; ".join([f"resumed it{since}", *_anew(detail)]), reason
        case _:
            return action, reason


def _linked(detail: Mapping[str, Any]) -> str:
    what = "approve" if detail.get("decision") == "approved" else "reject"
    return f"made a link by which {detail.get('for')} may {what} gate {detail.get('gate')}"


def _anew(detail: Mapping[str, Any]) -> Iterator[str]:
    """What changed by it, and what runs again."""
    if detail.get("with") is not None:
        yield f"run {detail['with']}, which waits for it, was resumed"
    for name, change in detail.get("params", {}).items():
        yield f"{name} {_short(change.get('from'))} → {_short(change.get('to'))}"
    if version := detail.get("version"):
        yield f"on version {version['to'][:SHOWN_DIGEST]} instead of {version['from'][:SHOWN_DIGEST]}"
    if again := detail.get("again"):
        yield f"{', '.join(again)} again"
    for stage, items in detail.get("items_again", {}).items():
        yield f"{items} of the items of {stage} again"
    if gates := detail.get("gates_anew"):
        yield f"{'gate' if len(gates) == 1 else 'gates'} {', '.join(gates)} checked anew"


def _short(given: Any) -> str:
    shown = plainly(given)
    return shown if len(shown) <= MOST_VALUE else f"{shown[: MOST_VALUE - 1]}…"


def plainly(given: Any) -> str:
    """A value as people write it."""
    if isinstance(given, list):
        return ", ".join(map(plainly, given))
    if isinstance(given, bool):
        return "yes" if given else "no"
    if isinstance(given, dict):
        return json.dumps(given, ensure_ascii=False, default=str)
    return "nothing" if given is None else str(given)
