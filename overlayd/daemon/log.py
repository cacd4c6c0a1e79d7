"""Logging of the daemon's processes: a line per event that matters, with fields, on stderr; bounded per site.

``set_up`` is called once, by the process's entry point. A module logs as
``LOG.info("snapshot applied", extra=fields(generation=4))``.
Under systemd each line carries its priority (sd-daemon(3)). I/O: stderr.
"""

import json
import logging
import os
import sys
import time
from typing import Any, TextIO

_FIELDS = "overlayd_fields"
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def fields(**values: Any) -> dict[str, Any]:
    """For ``extra=``: what the line is about, as named values."""
    return {_FIELDS: values}


def set_up(process: str, level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all logging of this process to ``stream`` (stderr). ``form`` is ``"text"`` or ``"json"``."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        _Json(process) if form == "json" else _Text(process, journal="JOURNAL_STREAM" in os.environ)
    )
    handler.addFilter(RateLimit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("asyncio", "pyroute2", "websockets"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


class RateLimit(logging.Filter):
    """Lets ``burst`` lines per ``period_s`` and site pass; the next period's first tells how many did not."""

    def __init__(self, burst: int = 20, period_s: float = 10.0) -> None:
        super().__init__()
        self._burst = burst
        self._period_s = period_s
        self._sites: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        site = (record.pathname, record.lineno)
        started, count = self._sites.get(site, (time.monotonic(), 0))
        if time.monotonic() - started >= self._period_s:
            if count > self._burst:
                said: dict[str, Any] = getattr(record, _FIELDS, {})
                setattr(record, _FIELDS, {**said, "left_out": count - self._burst})
            started, count = time.monotonic(), 0
        self._sites[site] = (started, count + 1)
        return count < self._burst


class _Text(logging.Formatter):
    """``12:00:00.123 engine warning: route skipped prefix=10.0.0.0/8``; the journal has the time itself."""

    def __init__(self, process: str, journal: bool) -> None:
        super().__init__()
        self._process = process
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = getattr(record, _FIELDS, {})
        said = " ".join([record.getMessage(), *(f"{key}={_shown(value)}" for key, value in values.items())])
        if record.exc_info:
            said += "\n" + self.formatException(record.exc_info)
        if self._journal:
            return f"<{_PRIORITY.get(record.levelno, 6)}>{said}"
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        return f"{clock}.{int(record.msecs):03} {self._process} {record.levelname.lower()}: {said}"


class _Json(logging.Formatter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": record.created,
            "process": self._process,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _shown(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c.isspace() or c == '"' for c in text) else text
