"""What every answer may need: the daemon's parts, the read views, the models being served, and the counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from service.api.access import Access
from service.api.auditing import Audit
from service.api.meters import Meters
from service.api.predicted import Predicted
from service.api.serving import Serving
from service.api.sessions import Sessions
from service.api.shared import Shared
from service.api.watched import Watched
from service.db.views import Views
from service.db.writer import Operation
from service.known_sessions import KnownSessions
from service.known_tokens import KnownTokens
from service.log_stream import LogStream
from service.logs.pages import LogPages

if TYPE_CHECKING:
    from service.app import Daemon


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to every handler."""

    daemon: Daemon
    views: Views
    serving: Serving
    predicted: Predicted
    meters: Meters
    logs: LogPages
    stream: LogStream
    sessions: Sessions
    access: Access
    watched: Watched
    tokens: KnownTokens
    ends: KnownSessions
    audit: Audit
    shared: Shared = field(default_factory=Shared)

    @property
    def limit_bytes(self) -> int:
        """The largest body that is read."""
        return self.daemon.settings.http.max_body_bytes

    @property
    def sinks(self) -> list[str]:
        """The names of those who are told how runs go."""
        return [one.name for one in self.daemon.sinks]

    async def write(self, *operations: Operation) -> list[Any]:
        """Write in one transaction. Raises `InboxBusy` or `InboxFull`."""
        self.daemon.inbox.refuse_when_busy()
        return await self.daemon.inbox.submit(*operations)
