"""How the daemon's own log looks: lines for people, JSON for collectors."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import orjson

from service.settings import Log, LogFormat

NOISY = ("aiokafka", "asyncpg", "apscheduler", "asyncio", "faust", "mode", "watchfiles", "httpx", "uvicorn.access")

GIVEN_UP = "GroupCoordinator._do_commit_offsets()"


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message, and the traceback where there is one."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage().encode("utf-8", "backslashreplace").decode(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


class TextLines(logging.Formatter):
    """`12:00:00 warning executor: message`."""

    def format(self, record: logging.LogRecord) -> str:
        """Local time of day: a person reads it."""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        name = record.name.removeprefix("tidemill.")
        text = f"{at} {record.levelname.lower():7} {name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def set_up_logs(settings: Log) -> None:
    """Send everything to standard error. Libraries speak up only when something is wrong.

    The root lets INFO through whatever the level, because what stages log belongs to their runs.
    """
    level = logging.getLevelName(settings.level.value.upper())
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level)
    handler.setFormatter(JsonLines() if settings.format is LogFormat.JSON else TextLines())
    handler.addFilter(_says_something)
    logging.basicConfig(level=min(level, logging.INFO), handlers=[handler], force=True)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


def _says_something(record: logging.LogRecord) -> bool:
    """The Kafka client repeats at each try what our listeners tell once, and in words; its tracebacks are bugs.

    A commit of offsets that was given up fails with nobody there to hear of it, which asyncio complains about. The
    place in a topic is Postgres' to keep.
    """
    if record.name == "asyncio" and GIVEN_UP in record.getMessage():
        return not _is_kafkas(record.exc_info)
    return not record.name.startswith("aiokafka") or record.exc_info is not None


def _is_kafkas(exc_info: object) -> bool:
    """Whether an error is one that the Kafka client knows."""
    return isinstance(exc_info, tuple) and type(exc_info[1]).__module__.startswith("aiokafka.")
