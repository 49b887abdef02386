"""Logging, the same in every process: sentences for people, JSON objects for machines.

What clients send (prompts, answers) is never logged. A line about a request has its id, and its
trace's, by itself: see `request_context`.
"""

import json
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import TextIO

from baton.core.errors import SettingsError
from baton.telemetry.request_context import request_of

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("auto", "text", "json")


def setup_logging(level: str, format: str, *, process: str = "", worker_id: str = "") -> None:
    """Sends all log records of this process to stderr. Raises SettingsError for an unknown value.

    "auto" is text on a terminal and JSON elsewhere. `process` is the program's name if left out;
    `worker_id` is given by workers.
    """
    if level not in LEVELS:
        raise SettingsError(f"--log-level must be one of {', '.join(LEVELS)}, not {level!r}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        formatter(format, sys.stderr, process or program_name(sys.argv[0]), worker_id)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)


def formatter(format: str, stream: TextIO, process: str, worker_id: str) -> logging.Formatter:
    if format not in FORMATS:
        raise SettingsError(f"--log-format must be one of {', '.join(FORMATS)}, not {format!r}")
    if format == "text" or (format == "auto" and stream.isatty()):
        return TextFormatter(worker_id or process)
    return JsonFormatter(process, worker_id)


def program_name(argv0: str) -> str:
    """ "gateway" for both `python -m gateway` and a script of that name."""
    path = Path(argv0)
    return path.parent.name if path.stem == "__main__" else path.stem


class TextFormatter(logging.Formatter):
    """`12:00:01.250 warning prefill-0 baton.registry.membership: sentence`, and where it is about a
    request, `... [its id] baton...`.
    """

    def __init__(self, who: str) -> None:
        super().__init__("%(clock)s %(lower)-7s %(who)s %(name)s: %(message)s")
        self._who = who

    def format(self, record: logging.LogRecord) -> str:
        record.clock = _time_of(record).strftime("%H:%M:%S.%f")[:-3]
        record.lower = record.levelname.lower()
        request = request_of(record)
        record.who = self._who if request is None else f"{self._who} [{request.request_id}]"
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object per line, whatever the message holds."""

    def __init__(self, process: str, worker_id: str) -> None:
        super().__init__()
        self._who = {"process": process}
        if worker_id:
            self._who["worker_id"] = worker_id

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time_of(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            **self._who,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request := request_of(record)) is not None:
            entry["request_id"] = request.request_id
            if request.trace_id:
                entry["trace_id"] = request.trace_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        return json.dumps(entry, ensure_ascii=False)


def _time_of(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created).astimezone()
