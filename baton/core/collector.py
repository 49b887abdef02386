"""The garbage collector, while a process loads what stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Loading makes millions of objects that stay. Looking for garbage among them would take a
    fifth of the start, and again later in the middle of serving.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
