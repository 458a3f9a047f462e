"""What can go wrong in the daemon. An error says what happened, to which object, and what to do next."""

from __future__ import annotations


class ServiceError(Exception):
    """Root of the errors of `service`. `transient` tells whether the same call may succeed later."""

    transient: bool = False


class ConfigError(ServiceError):
    """A setting is unknown, missing or wrong."""


class PostgresUnavailable(ServiceError):
    """The embedded Postgres cannot be started."""


class BrokerUnavailable(ServiceError):
    """The embedded broker cannot be started."""


class DatabaseUnavailable(ServiceError):
    """Postgres does not answer now."""

    transient = True


class MigrationError(ServiceError):
    """The database's schema does not fit this version of the code."""


class RunLost(ServiceError):
    """This process no longer has the right to drive a run: another one adopted it. Nothing was written."""


class NotFound(ServiceError):
    """What was asked for does not exist."""


class Conflict(ServiceError):
    """What was asked for cannot be done in the present state."""


class Invalid(ServiceError):
    """What was asked for makes no sense: bad parameters or a bad request body."""


class NotLetIn(ServiceError):
    """A token or a sign-in of a provider that does not hold."""


class ProviderAway(ServiceError):
    """The provider that signs people in does not answer, or not as it should."""

    transient = True
