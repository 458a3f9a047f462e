"""What stages log stands in the daemon's own log too: without secrets, and no more of it than is kept line by line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from service.logs.kept import KeptLog
from service.logs.masked import MaskedFormatter
from stages.call import Call
from stages.invoke import current_attempt
from stages.secrets import Secrets

Of = Callable[[Call], KeptLog]


class OwnLog:
    """Puts itself between the root logger's handlers and what they show, until `detach`."""

    def __init__(self, secrets: Secrets, of: Of) -> None:
        self._secrets = secrets
        self._of = of
        self._before: list[tuple[logging.Handler, logging.Formatter | None]] = []

    def attach(self) -> None:
        """Look after every handler there is."""
        for handler in logging.getLogger().handlers:
            self._before.append((handler, handler.formatter))
            handler.setFormatter(MaskedFormatter(handler.formatter, self._now_secret, partial(self._hides, handler)))
            handler.addFilter(self._is_wanted)

    def detach(self) -> None:
        """Leave the handlers as they were."""
        while self._before:
            handler, formatter = self._before.pop()
            handler.setFormatter(formatter)
            handler.removeFilter(self._is_wanted)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        attempt = current_attempt.get()
        return attempt is None or hasattr(record, "kept") or self._of(attempt).is_live

    def _now_secret(self) -> Secrets:
        attempt = current_attempt.get()
        return self._secrets if attempt is None else self._of(attempt).secrets

    def _hides(self, handler: logging.Handler, record: logging.LogRecord, text: str) -> bool:
        """Each handler shows lines of its own choice: what it has shown of a key is its own too."""
        attempt = current_attempt.get()
        if attempt is None:
            return False
        return self._of(attempt).shown_keys.hides((handler, getattr(record, "kept", "log")), text)
