"""A small model of what keeps daemons apart: leases, epochs, and positions that are compared before they are moved.

Every process may be overtaken between any two of its steps, repeat a write whose answer it did not hear, lose its lease
at any moment, and die. The model is written from the decisions (2, 3, 9), not from the code, and is small enough for
all of its states to be visited: `explore`.

A source has records; whoever reads takes one or two from the position on as a batch, which becomes a run that is its
own at once. A run has stages; each is tried, and its result is recorded by whoever owns the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

RECORDS = 2
LONGEST_BATCH = 2


@dataclass(frozen=True, slots=True)
class Fences:
    """What the rules are. Each one left out is a way to go wrong that the model must find."""

    epoch: bool = True
    lease: bool = True
    position: bool = True
    answer_after_commit: bool = True
    adopts: bool = True


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """A row of `runs`. `results` holds how often each stage's result was recorded."""

    batch: tuple[int, int]
    results: tuple[int, ...]
    owner: int | None
    epoch: int = 1
    running: bool = True
    ended: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """What a process wants written: a batch (`run` None), or the next result of a run it holds under `epoch`.

    `written`: a transaction with it has committed, and the process has not heard of that yet.
    """

    batch: tuple[int, int]
    run: int | None = None
    epoch: int = 0
    stage: int = 0
    written: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Process:
    """One daemon: the lease it believes it has, what it is about to write, and which run it drives in which epoch."""

    lease: int
    write: Write | None = None
    drives: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The database, and what each process holds in memory. `alive` are the leases that have not lapsed."""

    position: int
    acknowledged: int
    runs: tuple[Run, ...]
    alive: tuple[int, ...]
    leases: int
    processes: tuple[Process, ...]
    troubles: int

    @property
    def finished(self) -> bool:
        """Every record is in a run, and every run is over."""
        return self.position == RECORDS and all(run.ended for run in self.runs)


def beginning(daemons: int, troubles: int) -> State:
    """Nothing has happened; so many deaths and lapses may."""
    leases = tuple(range(daemons))
    return State(0, 0, (), leases, daemons, tuple(Process(lease) for lease in leases), troubles)


@dataclass(frozen=True, slots=True)
class Protocol:
    """Which states may follow which, under the rules that hold; runs have so many stages."""

    fences: Fences = Fences()
    stages: int = 1

    def following(self, state: State) -> Iterator[tuple[str, State]]:
        """Every single step that somebody can make, in words, with what comes of it."""
        for who, process in enumerate(state.processes):
            if process.write is None:
                yield from self._begin(state, who, process)
            else:
                yield from self._commit(state, who, process, process.write)
                yield from self._hear(state, who, process, process.write)
            if state.troubles:
                yield f"{who} dies", self._die(state, who)
        for lease in state.alive if self.fences.adopts else ():
            if self._may_lapse(state, lease):
                yield f"lease {lease} lapses", self._lapse(state, lease)

    def wrong(self, state: State) -> str:
        """What promise a state breaks, or nothing."""
        covered = sorted(record for run in state.runs for record in range(*run.batch))
        if covered != list(range(state.position)):
            return f"records {covered} are in runs, and the position is {state.position}"
        if state.acknowledged > state.position:
            return "something was acknowledged that is not durable"
        for run in state.runs:
            if max(run.results) > 1:
                return f"a result of {run.batch} was recorded twice"
            if run.ended > 1:
                return f"{run.batch} ended twice"
        return ""

    def _begin(self, state: State, who: int, process: Process) -> Iterator[tuple[str, State]]:
        """Read from the position on, claim a run, or try the next stage of the one it drives."""
        if process.drives is not None:
            run, epoch = process.drives
            batch, stage = state.runs[run].batch, sum(1 for count in state.runs[run].results if count)
            write = Write(batch, run, epoch, min(stage, self.stages - 1))
            yield f"{who} tries a stage of {batch}", _with(state, who, replace(process, write=write))
            return
        for end in range(state.position + 1, min(state.position + LONGEST_BATCH, RECORDS) + 1):
            read = replace(process, write=Write((state.position, end)))
            acknowledged = state.acknowledged if self.fences.answer_after_commit else max(state.acknowledged, end)
            yield f"{who} reads to {end}", replace(_with(state, who, read), acknowledged=acknowledged)
        for number, run in enumerate(state.runs):
            if not run.running and not run.ended:
                lease, renewed = self._renew(state, process)
                claimed = replace(run, owner=lease, epoch=run.epoch + 1, running=True)
                taken = replace(process, lease=lease, drives=(number, claimed.epoch))
                yield f"{who} claims {run.batch}", _with(_with_run(renewed, number, claimed), who, taken)

    def _commit(self, state: State, who: int, process: Process, write: Write) -> Iterator[tuple[str, State]]:
        """The transaction commits; the process does not know it yet, and may write the same again."""
        lease, renewed = self._renew(state, process)
        process = replace(process, lease=lease)
        done = (
            self._accept(renewed, who, process, write)
            if write.run is None
            else self._record(renewed, who, process, write)
        )
        yield f"{who} commits", done

    def _accept(self, state: State, who: int, process: Process, write: Write) -> State:
        """A batch and its run, which is the process's own at once, and the position: all of it or nothing."""
        known = any(run.batch == write.batch for run in state.runs)
        moved = state.position != write.batch[0]
        if known or (moved and self.fences.position):
            refused = write.refused or not write.written
            return _with(state, who, replace(process, write=replace(write, written=True, refused=refused)))
        run = Run(write.batch, (0,) * self.stages, process.lease)
        position = write.batch[1] if self.fences.position else max(state.position, write.batch[1])
        accepted = replace(state, position=position, runs=(*state.runs, run))
        return _with(accepted, who, replace(process, write=replace(write, written=True)))

    def _record(self, state: State, who: int, process: Process, write: Write) -> State:
        """A stage's result, and with the last one the end of the run: only for the owner of the epoch."""
        assert write.run is not None
        run = state.runs[write.run]
        mine = run.running and not run.ended and (run.epoch == write.epoch or not self.fences.epoch)
        if not mine or (write.written and not write.refused):
            refused = write.refused or not write.written
            return _with(state, who, replace(process, write=replace(write, written=True, refused=refused)))
        results = tuple(count + (stage == write.stage) for stage, count in enumerate(run.results))
        over = all(results)
        written = replace(
            run, results=results, ended=run.ended + over, running=not over, owner=None if over else run.owner
        )
        return _with(_with_run(state, write.run, written), who, replace(process, write=replace(write, written=True)))

    def _hear(self, state: State, who: int, process: Process, write: Write) -> Iterator[tuple[str, State]]:
        """The answer arrives: what was accepted is acknowledged, and a run goes on or is let go of."""
        if not write.written:
            return
        if write.run is None:
            mine = next((n for n, run in enumerate(state.runs) if run.batch == write.batch), None)
            drives = None if write.refused or mine is None else (mine, 1)
            acknowledged = state.acknowledged if write.refused else max(state.acknowledged, write.batch[1])
            heard = replace(process, write=None, drives=drives)
            yield f"{who} acknowledges {write.batch}", replace(_with(state, who, heard), acknowledged=acknowledged)
        else:
            over = write.refused or bool(state.runs[write.run].ended)
            heard = replace(process, write=None, drives=None if over else process.drives)
            yield f"{who} goes on", _with(state, who, heard)

    def _renew(self, state: State, process: Process) -> tuple[int, State]:
        """Every transaction renews the lease; one that has lapsed is never renewed, but replaced by a new one."""
        if process.lease in state.alive or not self.fences.lease:
            return process.lease, state
        return state.leases, replace(state, leases=state.leases + 1, alive=(*state.alive, state.leases))

    def _may_lapse(self, state: State, lease: int) -> bool:
        """A live process may be slow for as long as troubles are left; that of a dead one lapses sooner or later."""
        return state.troubles > 0 or all(process.lease != lease for process in state.processes)

    def _lapse(self, state: State, lease: int) -> State:
        lived = any(process.lease == lease for process in state.processes)
        runs = tuple(
            replace(run, running=False, owner=None) if run.owner == lease and run.running else run for run in state.runs
        )
        alive = tuple(one for one in state.alive if one != lease)
        return replace(state, alive=alive, runs=runs, troubles=state.troubles - lived)

    def _die(self, state: State, who: int) -> State:
        """A new process takes its place, with a lease of its own."""
        reborn = _with(state, who, Process(state.leases))
        return replace(reborn, leases=state.leases + 1, alive=(*state.alive, state.leases), troubles=state.troubles - 1)


def _with(state: State, who: int, process: Process) -> State:
    processes = list(state.processes)
    processes[who] = process
    return replace(state, processes=tuple(processes))


def _with_run(state: State, number: int, run: Run) -> State:
    runs = list(state.runs)
    runs[number] = run
    return replace(state, runs=tuple(runs))
