"""Keeps the audit log as long as the settings say."""

from __future__ import annotations

import logging

from service.db.audit import TrimAudit
from service.db.writer import Writer
from triggers.base import Clock

logger = logging.getLogger("tidemill.retention")

EVERY_S = 3600.0
AT_ONCE = 5000


async def trim_audit(writer: Writer, days: float, clock: Clock) -> None:
    """Now and then, a little at a time, until cancelled."""
    while True:
        gone = 0
        while some := (await writer.submit(TrimAudit(days, AT_ONCE)))[0]:
            gone += some
        if gone:
            logger.info("%s rows of the audit log were older than %g days, and went", gone, days)
        await clock.sleep(EVERY_S)
