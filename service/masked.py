"""Log lines without what is secret."""

from __future__ import annotations

import logging
from collections.abc import Callable

from stages.secrets import Secrets


class MaskedFormatter(logging.Formatter):
    """Another formatter's text, without what is secret at that moment."""

    def __init__(self, inner: logging.Formatter | None, secrets: Callable[[], Secrets]) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return self._secrets().mask(self._inner.format(record))
