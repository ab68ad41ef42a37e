"""Structured log lines: one JSON object a line on standard error, few and greppable.

No line may hold a photo, an embedding, a key or a code's payload.
"""

import json
import logging
import sys
from datetime import UTC, datetime


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, tz=UTC)
        line: dict[str, object] = {
            "time": when.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": record.name,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def start_logging(*, level: int = logging.INFO) -> None:
    """Send every log record of this process to standard error as JSON lines.

    Args:
        level: The lowest level shown; third-party libraries are shown from WARNING.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for package in ("edge_gate", "cloud_sync", "enroll", "fare"):
        logging.getLogger(package).setLevel(level)


def say(log: logging.Logger, event: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event with its fields.

    Args:
        log: The module's logger, `logging.getLogger(__name__)`.
        event: A few words in snake case, the same for the same thing.
        level: A `logging` level.
        fields: What a reader needs; never a face, a key or a code.
    """
    log.log(level, event, extra={"fields": fields})
