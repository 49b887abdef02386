"""What `benchmarks.transfer` measures: the data planes and their limits, each moving the same runs."""

import ctypes
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from baton.engine.blocks.kv_pool import KvPool
from benchmarks.transfer_memory import PLAIN_LOOPS, receive_plainly
from kv_transfer.memory import Run
from kv_transfer.stream_copy import best_copy, copy_in_python
from kv_transfer.transports.base import Endpoint, LinkLimits, Reader
from kv_transfer.transports.mapping import MappedReader
from kv_transfer.transports.negotiate import negotiate

Work = Callable[[Sequence[Run]], None]


@contextmanager
def all_works(pool: KvPool, about: dict[str, Any]) -> Iterator[dict[str, Work]]:
    """By name, limits included."""
    ends = {name: _endpoint(name, *rest) for name, *rest in about["endpoints"]}
    with ExitStack() as stack:

        def linked(name: str) -> Reader:
            reader = negotiate([ends[name]], pool, name, LinkLimits())
            stack.callback(reader.close)
            return reader

        shm = linked("shm")
        assert isinstance(shm, MappedReader)
        native = best_copy()
        source = shm.address
        lent = ctypes.c_char.from_buffer(pool.view)
        target = ctypes.addressof(lent)
        plain = stack.enter_context(socket.create_connection(("127.0.0.1", about["plain"])))
        works: dict[str, Work] = {
            "memmove loop": lambda runs: _memmove(target, source, runs),
            "one memcpy": lambda runs: _memcpy(target, source, runs),
            **{loop: partial(receive_plainly, plain, loop, pool.view) for loop in PLAIN_LOOPS},
            "shm fallback": lambda runs: shm.read_by(copy_in_python, runs),
        }
        if native is not copy_in_python:
            works["shm native"] = lambda runs: shm.read_by(native, runs)
        for name in ("tcp", "grpc"):
            works[name] = linked(name).read
        if "nixl" in ends:
            works["nixl"] = linked("nixl").read
            pid, there = about["pid"], about["memory"]
            works["process_vm_readv"] = lambda runs: _readv(pid, there, target, runs)
        yield works
        works.clear()
        del lent


def _endpoint(name: str, address: str, token: str, canary_offset: int, canary: str) -> Endpoint:
    return Endpoint(name, address, bytes.fromhex(token), canary_offset, bytes.fromhex(canary))


def _memmove(target: int, source: int, runs: Sequence[Run]) -> None:
    for run in runs:
        ctypes.memmove(target + run.target, source + run.source, run.length)


def _memcpy(target: int, source: int, runs: Sequence[Run]) -> None:
    ctypes.memmove(target, source, sum(run.length for run in runs))


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _readv(pid: int, there: int, here: int, runs: Sequence[Run]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    kind = _Vector * len(runs)
    remote = kind(*[_Vector(there + run.source, run.length) for run in runs])
    local = kind(*[_Vector(here + run.target, run.length) for run in runs])
    count = ctypes.c_ulong(len(runs))
    libc.process_vm_readv.restype = ctypes.c_ssize_t
    done = libc.process_vm_readv(pid, local, count, remote, count, ctypes.c_ulong(0))
    if done != sum(run.length for run in runs):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
