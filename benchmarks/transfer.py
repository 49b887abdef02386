"""How fast KV blocks travel, each data plane against its limit in the same run.

python -m benchmarks.transfer --rounds 15

The limits are what the same bytes cost without any of this project's code: a bare loop of memmove
over the same runs, one memcpy of as many bytes, the better of two plain socket loops, and
process_vm_readv. The lender is a process of its own. Planes and limits take turns.
"""

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import click

from baton.engine.kv_pool import KvPool
from benchmarks.measures import quantile, ratio_of
from benchmarks.transfer_handoff import hand_offs, idle_share, idle_worker
from benchmarks.transfer_memory import (
    NUM_BLOCKS,
    SMALL,
    receive_plainly,
    touched_pool,
    workloads,
)
from kv_transfer.memory import Run
from kv_transfer.stream_copy import best_copy, copy_in_python
from kv_transfer.transports.base import Endpoint, LinkLimits, Reader
from kv_transfer.transports.mapping import MappedReader
from kv_transfer.transports.negotiate import negotiate

Work = Callable[[Sequence[Run]], None]
# Row -> what it is measured against, and the ratio that is wanted.
ROWS = {
    "shm fallback": ("memmove loop", 0.95),
    "shm native": ("one memcpy", 0.8),
    "tcp": ("plain sockets", 0.85),
    "grpc": ("plain sockets", 0.4),
    "nixl": ("process_vm_readv", 0.6),
}


@click.command()
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1))
@click.option("--hand-offs", "count", default=200, show_default=True, help="Of 1 MiB, one by one.")
@click.option("--idle-seconds", default=10.0, show_default=True, type=click.FloatRange(1.0))
@click.option("--json", "as_json", is_flag=True, help="One object instead of lines.")
def main(rounds: int, count: int, idle_seconds: float, as_json: bool) -> None:
    """One round before the others is not measured."""
    with peer() as (about, child), ExitStack() as stack:
        pool = stack.enter_context(touched_pool(SMALL, NUM_BLOCKS, 2))
        works = stack.enter_context(_works(pool, about))
        rows = [
            row for name, runs in workloads().items() for row in table(name, runs, works, rounds)
        ]
        milliseconds, asked = asyncio.run(hand_offs(about["control"], child, count))
        idle = {"sender after hand-offs": idle_share(about["pid"], idle_seconds)}
    with idle_worker() as pid:
        idle["worker"] = idle_share(pid, idle_seconds)
    found = {
        "rows": rows,
        "hand_off_ms": {
            "p50": round(median(milliseconds), 3),
            "p90": round(quantile(milliseconds, 0.9), 3),
            "round_trip_p50": round(median(asked), 3),
        },
        "idle_core_share": idle,
    }
    click.echo(json.dumps(found) if as_json else "\n".join(lines(found)))


def table(
    workload: str, runs: Sequence[Run], works: dict[str, Work], rounds: int
) -> list[dict[str, Any]]:
    """The works take turns; every second round they go the other way round."""
    size = sum(run.length for run in runs)
    rates: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in list(works)[:: 1 if number % 2 else -1]:
            began = time.perf_counter()
            works[name](runs)
            if number:
                rates[name].append(size / (time.perf_counter() - began) / 1e9)
    plain = zip(rates.pop("sockets, vectors"), rates.pop("sockets, whole"), strict=True)
    rates["plain sockets"] = [max(pair) for pair in plain]
    return [
        _row(workload, name, rates[name], rates[limit], limit, wanted)
        for name, (limit, wanted) in ROWS.items()
        if name in rates
    ]


def _row(
    workload: str,
    name: str,
    rates: Sequence[float],
    limits: Sequence[float],
    limit: str,
    wanted: float,
) -> dict[str, Any]:
    ratio = ratio_of(list(zip(rates, limits, strict=True)))
    return {
        "transport": name,
        "workload": workload,
        "gb_s": round(median(rates), 2),
        "limit": limit,
        "limit_gb_s": round(median(limits), 2),
        "ratio": round(ratio.median, 3),
        "ratio_low": round(ratio.low, 3),
        "ratio_high": round(ratio.high, 3),
        "wanted": wanted,
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    for row in found["rows"]:
        yield (
            f"{row['workload']:<12} {row['transport']:<13} {row['gb_s']:6.2f} GB/s   "
            f"{row['limit']:<17} {row['limit_gb_s']:6.2f} GB/s   ratio {row['ratio']:.3f} "
            f"({row['ratio_low']:.3f} to {row['ratio_high']:.3f}, wanted {row['wanted']})"
        )
    took = found["hand_off_ms"]
    yield (
        f"hand-off of 1 MiB, ready to usable: p50 {took['p50']:.2f} ms, p90 {took['p90']:.2f} ms "
        f"(one gRPC round trip: p50 {took['round_trip_p50']:.2f} ms)"
    )
    for name, share in found["idle_core_share"].items():
        yield f"idle {name}: {share:.2%} of a core"


@contextmanager
def peer() -> Iterator[tuple[dict[str, Any], "subprocess.Popen[str]"]]:
    argv = [sys.executable, "-m", "benchmarks.transfer_peer"]
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdin is not None
            yield json.loads(child.stdout.readline()), child
            child.stdin.close()
            child.wait(10)
        finally:
            child.kill()


@contextmanager
def _works(pool: KvPool, about: dict[str, Any]) -> Iterator[dict[str, Work]]:
    """Everything that is measured, limits included: each moves the same runs."""
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
            "sockets, vectors": lambda runs: receive_plainly(plain, b"v", runs, pool.view),
            "sockets, whole": lambda runs: receive_plainly(plain, b"a", runs, pool.view),
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


if __name__ == "__main__":
    main()
