"""Reads a peer's pool that is mapped into this process."""

import ctypes
import mmap
import os
import threading
from collections.abc import Sequence

from baton.core.errors import TransferError
from kv_transfer.memory import Memory, Run, batches
from kv_transfer.stream_copy import CopyRuns, Stop, best_copy
from kv_transfer.transports.base import Wanted, always, check_runs, check_wanted

BATCH_BYTES = 16 << 20  # a millisecond or two of copying between two looks at whether to go on

# The mmap module cannot give the address of a read-only mapping, so the mapping is made here.
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.mmap.restype = ctypes.c_void_p
_LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value


class MappedReader:
    """Copies straight into this process's pool; the GIL is free meanwhile."""

    def __init__(
        self,
        transport: str,
        fd: int,
        size: int,
        memory: Memory,
        copy: CopyRuns | None = None,
    ) -> None:
        """Maps `size` bytes of `fd`, which the caller may close afterwards.

        Without a `copy`, takes the best of this machine, which may have to be built first.
        """
        self.progress = 0  # batches that were copied
        self._transport = transport
        self._size = size
        self._memory = memory
        self._lock = threading.Lock()  # held while the mapping is in use
        self._closed = Stop()
        self._copy = copy or best_copy()
        self._address = _map_read_only(fd, size)

    @property
    def transport(self) -> str:
        return self._transport

    def probe(self, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self._size:
            raise TransferError(f"{length} bytes at {offset} leave the pool of {self._size}")
        with self._lock:
            self._check_open()
            return ctypes.string_at(self._address + offset, length)

    @property
    def address(self) -> int:
        """Where the peer's pool lies in this process; for measurements. 0 once closed."""
        return self._address

    def read(self, runs: Sequence[Run], wanted: Wanted = always) -> None:
        self.read_by(self._copy, runs, wanted)

    def read_by(self, copy: CopyRuns, runs: Sequence[Run], wanted: Wanted = always) -> None:
        check_runs(runs, self._size, self._memory.size)
        with self._lock:
            self._check_open()
            # Keeps the pool from being unmapped as long as it lives, so it must not outlive this.
            pool = ctypes.c_char.from_buffer(self._memory.view)
            target = ctypes.addressof(pool)
            for batch in batches(runs, BATCH_BYTES):
                check_wanted(wanted)
                if not copy(target, self._address, batch, self._closed):
                    self._check_open()
                self.progress += 1

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            if self._address:
                _LIBC.munmap(self._address, self._size)
                self._address = 0

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise TransferError("the link to the peer was closed")


def _map_read_only(fd: int, size: int) -> int:
    address = _LIBC.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    if address is None or address == _MAP_FAILED:
        reason = os.strerror(ctypes.get_errno())
        raise TransferError(f"its memory of {size} bytes cannot be mapped: {reason}")
    return int(address)
