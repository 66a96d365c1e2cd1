"""Logs as JSON lines on stdout: one object per event, for machines and for `grep`."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_log = logging.getLogger("parley")


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, source, event, and the fields that were given."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stdout() -> None:
    """Send everything of level INFO and above to stdout as JSON lines, whoever logs it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


def log(event: str, **fields: object) -> None:
    """Log an event. Fields are names, numbers and states; never contents, keys or secrets."""
    _log.info(event, extra={"fields": fields})
