"""How long runs, events and artifacts are kept, and what is told of taking them away."""

from __future__ import annotations

from dataclasses import dataclass

from typing_extensions import TypedDict

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may go. Of each pipeline the newest `runs` stay whatever their age; None: there is no such bound.

    With neither `days` nor `runs` no run goes, without `events_days` no event. `grace_s`: how long an artifact that
    nothing refers to stays where it is, and how long it then stays set aside.
    """

    days: float | None = None
    runs: int | None = None
    events_days: float | None = None
    grace_s: float = DAY_S

    @property
    def removes_runs(self) -> bool:
        """Whether any run may go."""
        return self.days is not None or self.runs is not None

    @property
    def removes_anything(self) -> bool:
        """Whether it is worth while to look now and then."""
        return self.removes_runs or self.events_days is not None

    @property
    def age_s(self) -> float | None:
        """How long ago a run must have finished."""
        return None if self.days is None else self.days * DAY_S

    @property
    def events_age_s(self) -> float | None:
        """How long ago an event must have been accepted."""
        return None if self.events_days is None else self.events_days * DAY_S


class CleanedPipeline(TypedDict):
    """What goes of one pipeline. Its artifacts are those that nothing else refers to."""

    pipeline: str
    runs: int
    attempts: int
    log_lines: int
    artifacts: int
    size_bytes: int


class CleanedArtifacts(TypedDict):
    """A number of artifacts of the store."""

    artifacts: int
    size_bytes: int


class CleanUp(TypedDict):
    """What went, or (`dry_run`) would go. `set_aside` artifacts can still be had until they are `dropped`.

    `in_review` runs are kept until somebody resumes or abandons them. `left` runs go next time: something that began
    before they were marked is still under way.
    """

    dry_run: bool
    days: float | None
    runs: int | None
    events_days: float | None
    grace_s: float
    pipelines: list[CleanedPipeline]
    events: int
    set_aside: CleanedArtifacts
    dropped: CleanedArtifacts
    brought_back: int
    in_review: int
    left: int


def nothing(policy: Policy, *, dry_run: bool) -> CleanUp:
    """An account in which nothing went yet."""
    return {
        "dry_run": dry_run,
        "days": policy.days,
        "runs": policy.runs,
        "events_days": policy.events_days,
        "grace_s": policy.grace_s,
        "pipelines": [],
        "events": 0,
        "set_aside": {"artifacts": 0, "size_bytes": 0},
        "dropped": {"artifacts": 0, "size_bytes": 0},
        "brought_back": 0,
        "in_review": 0,
        "left": 0,
    }


def counted(pipeline: str) -> CleanedPipeline:
    """A pipeline of which nothing went yet."""
    return {"pipeline": pipeline, "runs": 0, "attempts": 0, "log_lines": 0, "artifacts": 0, "size_bytes": 0}


def removed_anything(done: CleanUp) -> bool:
    """Whether there is anything to put on record."""
    return bool(done["pipelines"] or done["events"] or done["set_aside"]["artifacts"] or done["dropped"]["artifacts"])
