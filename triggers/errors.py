"""What can go wrong on the ground floor. Every error says what happened, to which object, and what to do."""

from __future__ import annotations


class TriggerError(Exception):
    """Root of the errors of `triggers`. `transient` tells whether the same call may succeed later."""

    transient: bool = False


class InvalidTrigger(TriggerError):
    """A trigger was declared wrongly: raised when its pipeline loads."""


class InvalidEvent(TriggerError):
    """What arrived is not an event: a 4xx over HTTP (`status`), a `dead` fate where something was received."""

    def __init__(self, message: str, *, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


class SourceUnavailable(TriggerError):
    """The outside (broker, file system, object store) does not answer now."""

    transient = True


class TokenUnavailable(ConnectionError):
    """No token to log in with: its file or its endpoint has none now."""


class RecordsGone(TriggerError):
    """A Kafka offset range can no longer be read: compacted, expired, or its cluster was replaced."""


class PositionMoved(TriggerError):
    """Another consumer moved this position first: nothing was accepted, read on from the stored position."""


class InboxBusy(TriggerError):
    """The inbox cannot take more now (its queue is full or Postgres is away): nothing was accepted."""

    transient = True

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InboxFull(InboxBusy):
    """More writes wait for Postgres than this process will hold: send less."""
