"""Writes logs: one line of JSON on stderr for every request, job and failure."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_ENCODER = json.JSONEncoder(default=str, ensure_ascii=False)
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """A log record as JSON, with its `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return _ENCODER.encode(fields)


def configure(level: str) -> None:
    """Send the logs of this process to stderr, uvicorn's included.

    A record gets no source line, thread or process: no line shows them, and they cost half of a record's time.
    """
    logging._srcfile = None  # named in logging's manual, under "Optimization"
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("vecver", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
