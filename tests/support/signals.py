"""Signals as a program at a terminal has them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_ignored(number: signal.Signals) -> Iterator[None]:
    """Whatever started the tests may have it ignored, as nohup does; children inherit that."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)
