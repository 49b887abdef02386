"""What a process would write to its log, as JSON, while the block runs."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from baton.telemetry.logs import JsonFormatter


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JsonFormatter("test", ""))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@contextmanager
def log_lines(name: str = "", level: int = logging.INFO) -> Iterator[list[dict[str, Any]]]:
    """Of the logger and those below it; grows."""
    handler, logger = _Lines(), logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
