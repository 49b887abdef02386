"""Copies runs between two memories of this process: a native loop, or ctypes' where there is none."""

import ctypes
import logging
import os
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from baton.native.library import NativeError, Source, default_workshop, load
from kv_transfer.memory import Run

logger = logging.getLogger(__name__)

SOURCE = Source(
    "the copying of KV blocks",
    Path(__file__).parent / "csrc",
    "stream_copy.cpp",
    ("-O3", "-std=gnu++17", "-fPIC", "-shared"),
)
SLICE = 16 << 20  # bytes that the fallback copies at once; between two slices a stop is heard
BEST, SSE2, AVX2 = 0, 1, 2

# From source address to target address. True when every byte was copied, False after a stop.
CopyRuns = Callable[[int, int, Sequence[Run], "Stop"], bool]


class Stop:
    """Set on any thread, seen by a copy that runs on another, without the GIL."""

    def __init__(self) -> None:
        self._flag = ctypes.c_int32(0)

    def set(self) -> None:
        self._flag.value = 1

    def is_set(self) -> bool:
        return bool(self._flag.value)

    @property
    def address(self) -> int:
        return ctypes.addressof(self._flag)


def copy_in_python(target: int, source: int, runs: Sequence[Run], stop: Stop) -> bool:
    """A call of memmove per run; the GIL is free meanwhile."""
    for run in runs:
        for start in range(0, run.length, SLICE):
            if stop.is_set():
                return False
            length = min(SLICE, run.length - start)
            ctypes.memmove(target + run.target + start, source + run.source + start, length)
    return True


class NativeCopy:
    """One call for all runs, without the GIL."""

    def __init__(self, library: ctypes.CDLL, kind: int = BEST) -> None:
        """Raises NativeError where this machine has no such kind."""
        self._copy = library.baton_copy_runs
        self._copy.restype = ctypes.c_int64
        self._copy.argtypes = [*[ctypes.c_void_p] * 3, ctypes.c_size_t, ctypes.c_void_p]
        self._copy.argtypes += [ctypes.c_int32]
        self._kind = kind
        if self._copy(0, 0, 0, 0, Stop().address, kind) < 0:
            raise NativeError(f"this machine cannot copy in the way {kind}")

    def __call__(self, target: int, source: int, runs: Sequence[Run], stop: Stop) -> bool:
        flat = array("q", [n for run in runs for n in (run.source, run.target, run.length)])
        address, _ = flat.buffer_info()
        done = self._copy(target, source, address, len(runs), stop.address, self._kind)
        return bool(done == sum(run.length for run in runs))


_lock = threading.Lock()
_chosen: dict[str, CopyRuns] = {}  # this process's choice


def best_copy() -> CopyRuns:
    """Builds the native one if this machine has none yet, which takes a second or two.

    Call it on a thread that may wait. What it falls back to, and why, is told once in the log.
    """
    with _lock:
        if "copy" not in _chosen:
            _chosen["copy"] = choose_copy(os.environ)
        return _chosen["copy"]


def choose_copy(environ: Mapping[str, str]) -> CopyRuns:
    try:
        return NativeCopy(load(SOURCE, default_workshop(environ), logger.info))
    except NativeError as error:
        logger.warning("KV blocks are copied in Python, about half as fast: %s", error)
        return copy_in_python
