"""Every named point at which tests stop, delay, fail or kill a process (`triggers.faults`), with what happens there.

A commit has two: `NAME.commit` while it can still be undone, `NAME.committed` when it holds and nobody knows yet.
"""

from __future__ import annotations

from collections.abc import Mapping

WRITES: Mapping[str, str] = {
    "writer": "a flush of the writer, whatever is in it",
    "abandon": "a person gives up a failed run",
    "accept": "events, their fates, the runs they start and the positions of their triggers",
    "adopt": "the runs of a process whose lease has lapsed are taken from it",
    "blame": "an attempt counts against a run whose process died before",
    "cancel": "somebody cancels a run",
    "claim": "a process takes runs, each with its next epoch",
    "decidebyevent": "an event decides a gate",
    "decidegate": "a person votes on a gate",
    "endsessions": "sessions of browsers are ended",
    "expiregate": "nobody decided a gate in time",
    "forversion": "a process takes runs of an earlier version",
    "freekey": "a request that was refused lets go of its `Idempotency-Key`",
    "keepanswer": "the answer to a request with an `Idempotency-Key` is kept",
    "keepcode": "the code of a version is kept",
    "keepkey": "the key of an installation's links is made",
    "liftpause": "somebody lifts a pause",
    "lookup": "known results are looked up",
    "movealias": "an alias of a model moves",
    "moverun": "a run is parked, ended or otherwise let go",
    "notecleanup": "what was cleaned up goes on record",
    "owned": "a process asks which runs are its own",
    "putattempt": "an attempt begins or ends",
    "putaudit": "what a request did goes on record, with what it does",
    "putbackfill": "a backfill is asked for",
    "putcausing": "an attempt ends, and what it causes is accepted with it",
    "putcost": "what an attempt cost that ran in a process of its own",
    "putfenced": "what a shadow run would have caused is kept",
    "putgate": "a gate was checked",
    "putlink": "a one-time link to a gate is made",
    "putlogfile": "a piece of a stage's log has gone to the artifact store",
    "putloglines": "lines of a stage's log",
    "putpause": "somebody pauses a pipeline or a trigger",
    "putpipeline": "a process tells of its pipelines",
    "puttoken": "a token of the API is made",
    "putpredictions": "how many predictions were answered goes on record",
    "putprogress": "how far a stage is",
    "putreplay": "an event of the past is given again",
    "puttriggerstatus": "a process tells how its triggers are",
    "refusekept": "an earlier version could not be loaded",
    "registerversion": "a version of a model is registered",
    "release": "a process that ends gives its runs and its lease back",
    "resume": "somebody resumes a failed run",
    "revoketoken": "a token of the API is revoked",
    "setaside": "results of an earlier list are set aside",
    "startchild": "a stage starts the run it waits for",
    "stepbackfill": "a backfill starts its next ticks",
    "stopbackfill": "somebody stops a backfill",
    "sweep": "runs that nobody drives are late, or not started in time",
    "takekey": "a request takes its `Idempotency-Key`",
    "usetoken": "when a token was last used goes on record",
    "trimaudit": "old rows of the audit log are removed",
    "waitingversions": "which earlier versions have work is asked",
    "watchtriggers": "the silence of triggers is judged",
    "drop_log_part": "a day of the run log is dropped",
    "make_log_parts": "the days of the run log are made ahead",
    "mark_removed": "runs are marked to be removed",
    "migration": "a migration of the database",
    "put_pools": "the sizes of pools are told",
    "register_daemon": "a process registers, and has a lease",
    "remove_bodies": "bodies of hooks are removed",
    "remove_events": "events are removed",
    "remove_predictions": "counts of old predictions are removed",
    "remove_runs": "runs are removed",
    "settle_log": "the run log of a restored database is put in this server's order",
    "sink_begin": "a sink gets its place in the run log",
    "sink_move": "a sink's place moves over what was delivered",
    "sink_trouble": "a sink says why nothing is delivered",
    "trim_log": "old rows of the run log are removed",
}

PLACES: Mapping[str, str] = {
    "answer.send": "an HTTP answer is about to be sent: what it acknowledges is durable",
    "answer.sent": "an HTTP answer was sent",
    "artifact.put": "an artifact is about to be written",
    "artifact.kept": "an artifact is durable, and no row refers to it yet",
    "backup.dumped": "a backup's dump has taken the place of the one before, and what tells of it has not",
    "command.start": "a program is about to start: it runs an attempt, makes an environment, dumps or restores the "
    "database, or fetches a broker",
    "command.started": "it runs",
    "environment.make": "an environment is about to be made of its lock file",
    "environment.made": "it is there",
    "file.accepted": "files are accepted, and their listener does not know it yet",
    "file.seen": "a listener has marked files as seen",
    "kept.start": "a process for an earlier version is about to start",
    "lease.renew": "a process is about to renew its lease, with a flush",
    "letters.send": "dead records are about to be sent to their dead-letter topics",
    "letters.sent": "the broker has them, and the inbox does not know it yet",
    "offsets.commit": "offsets are about to be committed at the broker, for tools that show lag",
    "offsets.committed": "they are",
    "protoc.start": "protoc is about to compile a schema of the registry",
    "protoc.started": "it runs",
    "ps.start": "where there is no /proc, `ps` is about to be asked whether the embedded Postgres still runs",
    "server.start": "an embedded server, or what prepares its data, is about to start",
    "server.started": "it runs",
    "sink.deliver": "a page of the run log is about to be delivered by a sink",
    "sink.delivered": "it is, and the sink's place has not moved",
    "tick.due": "ticks of a schedule are about to be accepted",
    "tick.accepted": "they are, and the schedule does not know it yet",
    "worker.start": "a worker process is about to start",
    "worker.started": "it runs",
}

# `stage.NAME` before an attempt of a stage, `stage.NAME.done` when its result is not durable yet.
STAGES = "stage."


def points() -> Mapping[str, str]:
    """Every point but those of stages, which are named after them."""
    commits = {f"{name}.commit": f"{what}: not yet durable" for name, what in WRITES.items()}
    committed = {f"{name}.committed": f"{what}: durable, and nobody knows yet" for name, what in WRITES.items()}
    return dict(sorted({**commits, **committed, **PLACES}.items()))


def table() -> str:
    """All of them, as Markdown."""
    writes = [f"| `{name}.commit`, `{name}.committed` | {what} |" for name, what in WRITES.items()]
    places = [f"| `{name}` | {what} |" for name, what in PLACES.items()]
    return "\n".join(["| point | what happens there |", "| --- | --- |", *writes, *places])


if __name__ == "__main__":
    print(table())
