"""What runs of kept code cause goes to the pipelines and triggers of today, which only the daemon knows."""

from __future__ import annotations

from dataclasses import replace

import orjson

from service.catalogue import Catalogue
from service.db.accept import Accept
from service.kept.link import Asking
from service.outbox import Caused, Child, Outbox


class AskingOutbox(Outbox):
    """Has the daemon say what an event starts."""

    def __init__(self, catalogue: Catalogue, asking: Asking) -> None:
        super().__init__(catalogue)
        self._asking = asking

    async def accepting(self, caused: Caused) -> Accept:
        """See `Outbox`."""
        if isinstance(caused, Child):
            # No object of the code that is kept may come to a process that has other code.
            params = orjson.loads(orjson.dumps(dict(caused.wanted.params)))
            caused = replace(caused, wanted=replace(caused.wanted, params=params))
        events, runs, fates = await self._asking.ask(caused)
        return Accept(events, runs, fates)
