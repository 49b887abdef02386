"""The garbage collector: while a process loads what stays, and while it serves."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000  # objects that may come before it looks through them, instead of 700


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


def collect_seldom() -> None:
    """For a server that has all that it needs: that stays. A request leaves some hundred objects
    behind, and half of them are garbage in circles, which is worth looking for by the thousand.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
