"""Logging of the controller's process: one line per event that matters, on stderr. I/O."""

import logging
import os
import sys

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def set_up(level: str) -> None:
    """Send all logging to stderr; in the journal with its priority (sd-daemon(3)) and without the time
    it has itself.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Journal() if "JOURNAL_STREAM" in os.environ else logging.Formatter(_TEXT, "%H:%M:%S")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("asyncio", "websockets", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


_TEXT = "%(asctime)s.%(msecs)03d controller %(levelname)s: %(message)s"


class _Journal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITY.get(record.levelno, 6)}>{super().format(record)}"
