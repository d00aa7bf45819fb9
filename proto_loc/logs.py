"""Structured logs: with ``LOC_LOG_FORMAT=json``, each record is one line of JSON.

Only the standard library is imported, as :mod:`proto_loc.services.log_lines` runs without packages.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

JOINED = ("run_id", "dbt_invocations", "version", "database")
"""Fields that a record may have, besides those of every record."""


def wants_json() -> bool:
    """Whether logs are structured."""
    return os.environ.get("LOC_LOG_FORMAT") == "json"


def process() -> str:
    """The name of the service that this process belongs to; ``loc`` for a command."""
    return os.environ.get("LOC_SERVICE", "").rpartition(":")[2] or "loc"


def line(fields: dict) -> str:
    """A record as one line, with the fields that every record has in front."""
    always = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": "info",
        "process": process(),
    }
    return json.dumps(always | fields, ensure_ascii=False, default=str)


class Formatter(logging.Formatter):
    """Formats a record as JSON: time (UTC), level, process, logger, message, and what joins it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": process(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if run_id := os.environ.get("LOC_RUN_ID"):
            fields["run_id"] = run_id
        fields |= {name: getattr(record, name) for name in JOINED if hasattr(record, name)}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return line(fields)


def handler() -> logging.Handler:
    """A handler that writes records to stderr."""
    made = logging.StreamHandler(sys.stderr)
    made.setFormatter(Formatter())
    return made


def install(*names: str) -> None:
    """Let loggers write JSON, if logs are structured: that of the platform, and these.

    The platform's own logger writes notes, too, and the others warnings.
    """
    if not wants_json():
        return
    for name in ("proto_loc", *names):
        logger = logging.getLogger(name or None)
        logger.handlers[:] = [handler()]
        logger.propagate = False
        logger.setLevel(logging.INFO if name == "proto_loc" else logging.WARNING)
