"""The table: every fault point, which recipe meets it, and why a kind of fault makes no sense there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.fault_points import points
from tests.fault.matrix.cell import HARMS, Recipe
from tests.fault.matrix.ground import MAY_MOUNT, WHY_NO_DISK
from tests.fault.matrix.recipes import RECIPES

# Which recipe meets a point. Without `.commit` and `.committed` where both are meant.
MET: Mapping[str, Sequence[str]] = {
    "flow": [
        *("writer", "accept", "claim", "keepcode", "lookup", "moverun", "putattempt", "putloglines", "putpipeline"),
        *("putprogress", "puttriggerstatus", "sweep", "waitingversions", "make_log_parts", "register_daemon"),
        *("sink_begin", "sink_move", "trim_log", "answer.send", "answer.sent", "artifact.put", "artifact.kept"),
        *("lease.renew", "sink.deliver", "sink.delivered"),
    ],
    "worked": ["worker.start", "worker.started", "putcost"],
    "chatty": ["putlogfile"],
    "streamed": ["offsets.commit", "offsets.committed"],
    "lettered": ["letters.send", "letters.sent"],
    "framed": ["protoc.start", "protoc.started"],
    "landed": ["file.accepted", "file.seen"],
    "ticked": ["tick.due", "tick.accepted"],
    "decided": ["decidebyevent", "putgate"],
    "linked": ["keepkey", "putlink"],
    "expired": ["expiregate"],
    "cancelled": ["cancel"],
    "resumed": ["resume"],
    "abandoned": ["abandon"],
    "paused": ["putpause", "liftpause"],
    "replayed": ["putreplay"],
    "backfilled": ["putbackfill", "stepbackfill"],
    "halted": ["stopbackfill"],
    "caused": ["startchild"],
    "told": ["putcausing"],
    "models": ["registerversion", "movealias", "putpredictions"],
    "cleaned": ["mark_removed", "remove_runs", "remove_events", "remove_bodies", "remove_predictions", "notecleanup"],
    "adopted": ["adopt", "blame"],
    "left": ["release"],
    "cut off": ["owned"],
    "new": ["migration", "put_pools"],
    "versions": ["forversion", "kept.start", "putfenced"],
    "lost version": ["refusekept"],
    "other code": ["setaside"],
    "packaged": ["command.start", "command.started", "environment.make", "environment.made"],
    "days": ["drop_log_part"],
    "tokens": ["puttoken", "revoketoken", "usetoken", "endsessions", "putaudit", "trimaudit"],
    "keyed": ["takekey", "keepanswer", "freekey"],
    "untold": ["sink_trouble"],
}
_NO_SERVER = "a daemon of the matrix embeds no server: tests/fault/test_embedded_postgres.py meets it"
UNREACHABLE: Mapping[str, str] = {
    "backup.dumped": "no daemon makes backups: tests/fault/test_backup_cut_short.py meets it",
    "ps.start": _NO_SERVER,
    "server.start": _NO_SERVER,
    "server.started": _NO_SERVER,
    "settle_log": "only a database that was restored is put in order: tests/db/test_restored.py meets it",
    "decidegate": "a daemon writes it only inside `decidebyevent`, whose points are met",
    "watchtriggers": "a daemon judges nobody silent in its first 30 s: tests/db/test_silence.py meets it",
}
# So often a point is passed before something happens there: what daemons do as they start is not what is meant.
LATER = {"writer": 5, "lease.renew": 5, "claim": 2, "accept": 2, "answer.send": 2, "answer.sent": 2, "sweep": 1}
NOT_YET = "no recipe is named for it in tests/fault/matrix/table.py"
NOT_A_STORE = "it is not there that an artifact is written"
NO_BROKER = "no broker has a part in it"
NO_ARTIFACT = "no artifact is written or read after it"


@dataclass(frozen=True, slots=True)
class Place:
    """A cell before it is run. Where `why_not` is not empty, it makes no sense."""

    point: str
    kind: str
    recipe: Recipe
    nth: int
    why_not: str = ""


def places() -> Iterator[Place]:
    """All of them."""
    for point in points():
        for kind in HARMS:
            yield Place(
                point, kind, recipe_of(point), LATER.get(_name(point), LATER.get(point, 1)), why_not(point, kind)
            )


def recipe_of(point: str) -> Recipe:
    """How a daemon is brought there."""
    by_name = {one.name: one for one in RECIPES}
    for name, met in MET.items():
        if point in met or _name(point) in met:
            return by_name[name]
    return RECIPES[0]


def known(point: str) -> bool:
    """Whether the table says how the point is met, or why it is not."""
    return any({point, _name(point)} & {*met} for met in (*MET.values(), UNREACHABLE))


def why_not(point: str, kind: str) -> str:
    """Why a kind of fault makes no sense at a point; empty: it does."""
    recipe = recipe_of(point)
    if _name(point) in UNREACHABLE:
        return UNREACHABLE[_name(point)]
    if not known(point):
        return NOT_YET
    if kind == "restart broker" and not recipe.kafka:
        return NO_BROKER
    if kind == "read-only store" and not recipe.artifacts:
        return NO_ARTIFACT
    if kind == "full store" and not point.startswith("artifact."):
        return NOT_A_STORE
    if kind == "full disk" and not MAY_MOUNT:
        return WHY_NO_DISK
    return ""


def _name(point: str) -> str:
    name, _, when = point.rpartition(".")
    return name if when in ("commit", "committed") and name != "offsets" else point
