"""Builds that are broken on purpose: each breaks one promise in one place, and names the tests that must notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SQL = "service/db/sql"


class Outdated(Exception):
    """What a mutant replaces is not in the code, or more than once: the mutant must follow the code."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`old` stands once in `file`, and becomes `new`; at least one of `tests` must fail then."""

    name: str
    file: str
    old: str
    new: str
    tests: Sequence[str]

    def text(self, root: Path) -> str:
        """The broken file. Raises `Outdated`."""
        text = (root / self.file).read_text(encoding="utf-8")
        found = text.count(self.old)
        if found != 1:
            raise Outdated(f"{self.name}: what it replaces is {found} times in {self.file}, not once:\n{self.old}")
        return text.replace(self.old, self.new)


LEASES = "tests/db/test_leases.py"
USUAL = "tests/db/test_usual.py"
ACCEPT = "tests/db/test_accept.py"
FENCES = "tests/db/test_fences.py"
KEYS = "tests/unit/test_event_keys.py"

MUTANTS = (
    Mutant(
        "attempts are written whoever drives the run",
        f"{SQL}/put_attempts.sql",
        "r.id = g.run_id and r.epoch = g.epoch and r.state = 'running'",
        "r.id = g.run_id",
        [LEASES],
    ),
    Mutant(
        "runs are moved whoever drives them",
        f"{SQL}/move_runs.sql",
        "where id = g.run_id and epoch = g.epoch and state = 'running' limit 1",
        "where id = g.run_id and state = 'running' limit 1",
        [LEASES, "tests/db/test_limits_hold.py"],
    ),
    Mutant(
        "what is usual writes attempts whoever drives the run",
        f"{SQL}/usual.sql",
        "where r.id = g.run_id and r.epoch = g.epoch and r.state = 'running' limit 1",
        "where r.id = g.run_id and r.state = 'running' limit 1",
        [USUAL],
    ),
    Mutant(
        "what is usual moves runs whoever drives them",
        f"{SQL}/usual.sql",
        "where id = m.run_id and epoch = m.epoch and state = 'running' limit 1",
        "where id = m.run_id and state = 'running' limit 1",
        [FENCES],
    ),
    Mutant(
        "gates are written whoever drives the run",
        f"{SQL}/put_gates.sql",
        "where r.id = g.run_id and r.epoch = g.epoch and r.state = 'running' limit 1",
        "where r.id = g.run_id limit 1",
        [FENCES],
    ),
    Mutant(
        "a sub-run is started, and items are set aside, whoever drives the run",
        f"{SQL}/owns_run.sql",
        "and epoch = $2",
        "and $2::int is not null",
        [FENCES],
    ),
    Mutant(
        "who lost a run is blamed for the next one's death",
        f"{SQL}/blame.sql",
        "and epoch = $2",
        "and $2::int is not null",
        [FENCES],
    ),
    Mutant(
        "what an earlier owner did is written over",
        f"{SQL}/put_attempts.sql",
        "    where attempts.epoch = excluded.epoch or attempts.state = 'waiting'\n",
        "",
        [FENCES],
    ),
    Mutant(
        "what is usual writes over what an earlier owner did",
        f"{SQL}/usual.sql",
        "    where attempts.epoch = excluded.epoch\n",
        "",
        [FENCES],
    ),
    Mutant(
        "a run is resumed whatever it came to since it was looked at",
        f"{SQL}/resume.sql",
        " and epoch = coalesce($2, epoch)",
        " and coalesce($2::int, 0) >= 0",
        [FENCES],
    ),
    Mutant(
        "a claim does not take a new epoch",
        f"{SQL}/claim.sql",
        "epoch = r.epoch + 1",
        "epoch = greatest(r.epoch, 1)",
        [LEASES],
    ),
    Mutant(
        "a lapsed lease is renewed",
        f"{SQL}/renew_lease.sql",
        "where id = $1 and state = 'alive'",
        "where id = $1",
        [LEASES],
    ),
    Mutant(
        "what is usual is written under a lapsed lease",
        f"{SQL}/usual.sql",
        "where id = $1 and state = 'alive'",
        "where id = $1",
        [FENCES],
    ),
    Mutant(
        "runs are taken from processes that live",
        f"{SQL}/adopt.sql",
        " and renewed_at < now() - make_interval(secs => lease_s)",
        "",
        [LEASES],
    ),
    Mutant(
        "others wait for a process that stands still in a transaction",
        f"{SQL}/adopt.sql",
        "    for no key update skip locked\n",
        "",
        [LEASES],
    ),
    Mutant(
        "a process that stands still in a transaction keeps what it has",
        f"{SQL}/end_standing.sql",
        "a.wait_event = 'ClientRead'",
        "a.wait_event = ''",
        [LEASES],
    ),
    Mutant(
        "a daemon goes by its machine's clock",
        "service/clock.py",
        "            self._ahead_s = said.timestamp() - (asked_s + unsure_s)\n",
        "            del said\n",
        ["tests/unit/test_clock.py"],
    ),
    Mutant(
        "202 is answered before the event is accepted",
        "service/api/intake.py",
        "        receipts = await (accept_once(self._inbox, hook, signed, arrivals)"
        " if signed else self._inbox.accept(arrivals))\n",
        "        self._later = asyncio.ensure_future(self._inbox.accept(arrivals))\n"
        "        return Json({'events': []}, 202)\n"
        "        receipts: list = []\n",
        ["tests/fault/test_answers.py::test_nothing_is_answered_that_is_not_durable"],
    ),
    Mutant(
        "an offset is stored after its records, in a transaction of its own",
        "triggers/kafka/group.py",
        "lambda: self._member.inbox.accept(arrivals, positions=[move, *beside]), cursor)",
        "lambda: self._member.inbox.accept(arrivals, positions=beside), cursor)\n"
        "            await self._patiently(lambda: self._member.inbox.accept([], positions=[move]), cursor)",
        ["tests/broker/test_kafka_batches.py::test_a_kill_around_the_commit_neither_loses_nor_doubles"],
    ),
    Mutant(
        "an offset is stored before its records",
        "triggers/kafka/group.py",
        "lambda: self._member.inbox.accept(arrivals, positions=[move, *beside]), cursor)",
        "lambda: self._member.inbox.accept([], positions=[move, *beside]), cursor)\n"
        "            await self._patiently(lambda: self._member.inbox.accept(arrivals), cursor)",
        ["tests/broker/test_kafka_batches.py::test_a_kill_around_the_commit_neither_loses_nor_doubles"],
    ),
    Mutant(
        "a position moves wherever it stood",
        f"{SQL}/move_positions.sql",
        "p.key = any (array[g.key]) and p.value = g.expect",
        "p.key = any (array[g.key])",
        [ACCEPT],
    ),
    Mutant(
        "what is usual moves a position wherever it stood",
        f"{SQL}/usual.sql",
        "p.key = any (array[g.key]) and p.value = g.expect",
        "p.key = any (array[g.key])",
        [USUAL],
    ),
    Mutant(
        "an event that is told again is another event",
        "triggers/event.py",
        "hashlib.blake2b(identity, digest_size=16).digest()))",
        "__import__('os').urandom(16)))",
        [KEYS, "tests/db/test_api_intake.py"],
    ),
    Mutant(
        "events of two sources with one id are one event",
        "triggers/event.py",
        'identity = b"%d:%b%b" % (len(source), source.encode(), event_id.encode())',
        'identity = b"%b" % event_id.encode()',
        [KEYS],
    ),
    Mutant(
        "the due time of a retry is forgotten",
        f"{SQL}/put_attempts.sql",
        "clock_timestamp() + make_interval(secs => g.retry_in_s)",
        "null::timestamptz",
        [USUAL],
    ),
    Mutant(
        "what is usual forgets the due time of a retry",
        f"{SQL}/usual.sql",
        "clock_timestamp() + make_interval(secs => retry_in_s)",
        "null::timestamptz",
        [USUAL],
    ),
    Mutant(
        "a record that cannot be read leaves no trace",
        "triggers/kafka/arrivals.py",
        "        return Arrival(event, [Offer(one.pipeline, one.trigger.name, Fate.DEAD, dead) for one in bindings])",
        "        return Arrival(event, [])",
        ["tests/broker/test_kafka_arrivals.py::test_what_cannot_be_read_is_dead_and_the_partition_moves_on"],
    ),
    Mutant(
        "a vote about another artifact counts",
        "service/db/votes.py",
        'if op.subject not in (None, gate["subject"]) or op.needed',
        "if op.needed",
        [FENCES],
    ),
    Mutant(
        "votes for an earlier artifact count for the next",
        f"{SQL}/votes_on.sql",
        "gate = $2 and subject = $3 order",
        "gate = $2 and $3::text <> '' order",
        ["tests/db/test_votes.py::test_votes_for_another_artifact_never_count"],
    ),
    Mutant(
        "runs of a sequence start whenever they may",
        f"{SQL}/hold_in_order.sql",
        "held = 'order'",
        "held = ''",
        ["tests/db/test_order.py"],
    ),
    Mutant(
        "the next of a sequence starts before the one before it has succeeded",
        f"{SQL}/next_in_order.sql",
        "state <> 'succeeded' and abandoned_at is null",
        "held = 'order' and abandoned_at is null",
        ["tests/db/test_order.py"],
    ),
    Mutant(
        "a sink's place moves before it has delivered",
        "service/loops/relay.py",
        "                done = await self._deliver(tail, page)\n",
        "                await tail.move(page.last, delivered=0, refused=0)\n"
        "                done = await self._deliver(tail, page)\n",
        ["tests/db/test_sinks.py"],
    ),
    Mutant(
        "a flush that was not confirmed is not written again",
        "service/db/writer.py",
        "                await self._reconnect(error, RETRY_S[min(tries, len(RETRY_S) - 1)])\n",
        "                await self._reconnect(error, RETRY_S[min(tries, len(RETRY_S) - 1)])\n"
        "                return [unit.fail(ServiceError(str(error))) for unit in kept] and None\n",
        ["tests/db/test_executor.py", "tests/db/test_writer.py"],
    ),
    Mutant(
        "a schedule begins anew with each daemon",
        "triggers/schedule/clock.py",
        "kept.see(now if value is None else datetime.fromisoformat(value))",
        "kept.see(now)",
        ["tests/unit/test_schedule_clock.py"],
    ),
    Mutant(
        "an artifact is handed out as it is found",
        "stages/artifacts.py",
        "    if found != digest:\n",
        "    if not found:\n",
        ["tests/contract/test_artifact_stores.py"],
    ),
    Mutant(
        "nobody is told that a run is there",
        "service/db/writer.py",
        'await flush.connection.execute(sql("wake"), WAKE_CHANNEL, list(flush.wakes))',
        "pass",
        ["tests/db/test_pushed.py"],
    ),
    Mutant(
        "what is usual tells nobody that a run is there",
        f"{SQL}/usual.sql",
        "where exists (select from new_runs where state = 'queued') or",
        "where",
        ["tests/db/test_pushed.py"],
    ),
    Mutant(
        "sessions that were ended go on",
        "service/api/access.py",
        "        if session.generation < generation(",
        "        if False and session.generation < generation(",
        ["tests/db/test_ended_sessions.py"],
    ),
    Mutant(
        "a logout token lets somebody in",
        "service/oidc.py",
        '        if "events" in claims:\n',
        '        if "no events" in claims:\n',
        ["tests/db/test_ended_sessions.py"],
    ),
    Mutant(
        "anybody may say where a request is from",
        "service/api/server.py",
        "        proxy_headers=bool(proxies),\n        forwarded_allow_ips=written(proxies),\n",
        '        proxy_headers=True,\n        forwarded_allow_ips="*",\n',
        ["tests/db/test_proxies.py"],
    ),
)
