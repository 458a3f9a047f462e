"""What can go wrong on the first floor. Every error carries `transient`: whether trying again may help."""

from __future__ import annotations


class StageError(Exception):
    """Root of the errors of `stages`. A stage may raise one of its own with `transient` and `retry_after_s` set."""

    transient: bool = False
    retry_after_s: float | None = None


class InvalidPipeline(StageError):
    """A pipeline does not join up: raised when it loads, naming file and line."""


class Transient(StageError):
    """Raise this in a stage for trouble that will pass: it is retried by the stage's policy."""

    transient = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Permanent(StageError):
    """Raise this in a stage for trouble that will not pass: the run fails at once and waits for a person."""


class InvalidParams(StageError):
    """The parameters of a run do not fit the pipeline's type."""


class ArtifactMissing(StageError):
    """An artifact that a run refers to is not in the store."""


class ArtifactCorrupted(StageError):
    """An artifact's bytes do not have the digest they are stored under."""


class InvalidCall(StageError):
    """What `stage run` was given is not a call, or not one of this pipeline."""


class StoreUnavailable(StageError):
    """The artifact store cannot be read or written, now (transient) or as it is configured (not transient)."""

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class NoCodec(StageError):
    """A stage returned a value that no codec can store."""


class Undecodable(StageError):
    """An artifact cannot be read as the type its taker wants."""


class NoWorker(StageError):
    """No worker process can run this stage: its pipeline or its artifacts cannot be reached from one."""


class CodeChanged(StageError):
    """A worker has loaded other code than its daemon. A restart of the daemon cures it: the attempt may be repeated."""

    transient = True


class CpuSpent(StageError):
    """An attempt used more CPU time than its stage may. Permanent: it would use it again."""


class NoEnvironment(StageError):
    """The environment or image of a stage is not there, now (transient) or as it is declared (not transient)."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
