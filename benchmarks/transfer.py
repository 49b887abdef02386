"""How fast KV blocks travel, each data plane against its limit in the same run.

python -m benchmarks.transfer --rounds 15

The limits are what the same bytes cost without any of this project's code: a bare loop of memmove
over the same runs, one memcpy of as many bytes, the best of three plain socket loops, and
process_vm_readv. The lender is a process of its own. A plane and its limit run one right after the
other, in changing order; what is told is the median of the rounds' ratios. CPU seconds are those of
both processes.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.measures import quantile, ratio_of
from benchmarks.transfer_handoff import cpu_seconds, hand_offs, idle_share, idle_worker
from benchmarks.transfer_memory import NUM_BLOCKS, PLAIN_LOOPS, SMALL, touched_pool, workloads
from benchmarks.transfer_works import Work, all_works
from kv_transfer.memory import Run

SOCKETS = tuple(PLAIN_LOOPS)
# What runs side by side: limits of one kind, of which the best counts, and what is held against it,
# with the ratio that is wanted.
GROUPS: Sequence[tuple[Sequence[str], Mapping[str, float]]] = (
    (("memmove loop",), {"shm fallback": 0.95}),
    (("one memcpy",), {"shm native": 0.8}),
    (SOCKETS, {"tcp": 0.85}),
    (SOCKETS, {"grpc": 0.4}),
    (("process_vm_readv",), {"nixl": 0.6}),
)


@dataclass
class Turns:
    """Of one work, round by round."""

    gb_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)  # per GB


@click.command()
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1))
@click.option("--hand-offs", "count", default=200, show_default=True, help="Of 1 MiB, one by one.")
@click.option("--idle-seconds", default=10.0, show_default=True, type=click.FloatRange(1.0))
@click.option("--json", "as_json", is_flag=True, help="One object instead of lines.")
def main(rounds: int, count: int, idle_seconds: float, as_json: bool) -> None:
    with peer() as (about, child), ExitStack() as stack:
        pool = stack.enter_context(touched_pool(SMALL, NUM_BLOCKS, 2))
        works = stack.enter_context(all_works(pool, about))
        pids = (os.getpid(), about["pid"])
        rows = [
            row
            for name, runs in workloads().items()
            for row in table(name, runs, works, pids, rounds)
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
    workload: str, runs: Sequence[Run], works: Mapping[str, Work], pids: Sequence[int], rounds: int
) -> Iterator[dict[str, Any]]:
    for limits, planes in GROUPS:
        for plane, wanted in planes.items():
            if plane in works:
                turns = _take_turns(runs, {n: works[n] for n in (*limits, plane)}, pids, rounds)
                yield _row(workload, plane, turns, limits, wanted)


def _take_turns(
    runs: Sequence[Run], works: Mapping[str, Work], pids: Sequence[int], rounds: int
) -> dict[str, Turns]:
    """One round before the others is not measured."""
    gigabytes = sum(run.length for run in runs) / 1e9
    turns = {name: Turns() for name in works}
    for number in range(rounds + 1):
        for name in list(works)[:: 1 if number % 2 else -1]:
            cpu, began = cpu_seconds(*pids), time.perf_counter()
            works[name](runs)
            took = time.perf_counter() - began
            if number:
                turns[name].gb_s.append(gigabytes / took)
                turns[name].cpu_s.append((cpu_seconds(*pids) - cpu) / gigabytes)
    return turns


def _row(
    workload: str, plane: str, turns: Mapping[str, Turns], limits: Sequence[str], wanted: float
) -> dict[str, Any]:
    limit = max(limits, key=lambda name: median(turns[name].gb_s))
    pairs = list(zip(turns[plane].gb_s, turns[limit].gb_s, strict=True))
    ratio, values = ratio_of(pairs), [a / b for a, b in pairs]
    return {
        "transport": plane,
        "workload": workload,
        "gb_s": round(median(turns[plane].gb_s), 2),
        "cpu_s_per_gb": round(median(turns[plane].cpu_s), 3),
        "limit": limit,
        "limit_gb_s": round(median(turns[limit].gb_s), 2),
        "limit_cpu_s_per_gb": round(median(turns[limit].cpu_s), 3),
        "ratio": round(ratio.median, 3),
        "ratio_low": round(ratio.low, 3),
        "ratio_high": round(ratio.high, 3),
        "ratio_quartiles": [round(quantile(values, q), 3) for q in (0.25, 0.75)],
        "wanted": wanted,
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    for row in found["rows"]:
        yield (
            f"{row['workload']:<12} {_side(row, 'transport', '')}   {_side(row, 'limit', 'limit_')}"
            f"   ratio {row['ratio']:.3f} ({row['ratio_low']:.3f} to {row['ratio_high']:.3f}, half "
            f"of them {' to '.join(f'{q:.3f}' for q in row['ratio_quartiles'])}; "
            f"wanted {row['wanted']})"
        )
    took = found["hand_off_ms"]
    yield (
        f"hand-off of 1 MiB, ready to usable: p50 {took['p50']:.2f} ms, p90 {took['p90']:.2f} ms "
        f"(one gRPC round trip: p50 {took['round_trip_p50']:.2f} ms)"
    )
    for name, share in found["idle_core_share"].items():
        yield f"idle {name}: {share:.2%} of a core"


def _side(row: dict[str, Any], name: str, prefix: str) -> str:
    cpu = row[f"{prefix}cpu_s_per_gb"]
    return f"{row[name]:<17} {row[f'{prefix}gb_s']:6.2f} GB/s, {cpu:.2f} CPU s/GB"


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


if __name__ == "__main__":
    main()
