"""Log lines without what is secret."""

from __future__ import annotations

import logging
from collections.abc import Callable

from stages.secrets import MASK, Secrets


class MaskedFormatter(logging.Formatter):
    """Another formatter's text, without what is secret at that moment.

    `hides` says of a record and its text whether it is a line of a key, which does not look like a secret by itself.
    """

    def __init__(
        self,
        inner: logging.Formatter | None,
        secrets: Callable[[], Secrets],
        hides: Callable[[logging.LogRecord, str], bool],
    ) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()
        self._secrets = secrets
        self._hides = hides

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        text = self._inner.format(record)
        return self._inner.format(_without_text(record)) if self._hides(record, text) else self._secrets().mask(text)


def _without_text(record: logging.LogRecord) -> logging.LogRecord:
    nothing = {"args": None, "exc_info": None, "exc_text": None, "stack_info": None}
    return logging.makeLogRecord({**record.__dict__, "msg": MASK, **nothing})
