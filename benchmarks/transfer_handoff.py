"""What a whole hand-off of 1 MiB takes between two idle processes, and what idleness takes."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baton.core.handoff import Handoff, new_id, new_ticket
from baton.rpc.channel import open_channel
from baton.v1 import kv_transfer_pb2 as pb
from baton.v1 import kv_transfer_pb2_grpc as pb_grpc
from benchmarks.transfer_memory import LIGHT, LIGHT_TOKENS, fingerprint, touched_pool
from benchmarks.transfer_peer import INSTANCE
from kv_transfer.puller import Puller

QUIET_S = 0.01  # both sides do nothing before each hand-off
DEMO = Path(__file__).parents[1] / "baton" / "demo"


async def hand_offs(
    control: str, child: "subprocess.Popen[str]", count: int
) -> tuple[list[float], list[float]]:
    """Milliseconds from "the prompt is computed" there to "the blocks are usable" here.

    And, in turns with them, of one unary call by gRPC.
    """
    took: list[float] = []
    asked: list[float] = []
    channel = open_channel(control)
    stub = pb_grpc.KvTransferServiceStub(channel)
    with touched_pool(LIGHT, 64, 2) as pool:
        puller = Puller("d-1", pool, fingerprint(LIGHT))
        try:
            for _ in range(count + 5):  # the first ones link and warm up
                took.append(await _hand_off(puller, control, child))
                await asyncio.sleep(QUIET_S)
                began = time.monotonic()
                await stub.Confirm(pb.ConfirmRequest(transfer_id="unknown"))
                asked.append((time.monotonic() - began) * 1e3)
        finally:
            await puller.close()
            await channel.close()
    return took[5:], asked[5:]


async def _hand_off(puller: Puller, control: str, child: "subprocess.Popen[str]") -> float:
    handoff = Handoff(new_id(), new_ticket(), control, INSTANCE)
    await _told(child, f"begin {handoff.transfer_id} {handoff.ticket.hex()}")
    blocks = tuple(range(LIGHT.blocks_for(LIGHT_TOKENS)))
    pull = asyncio.create_task(puller.pull(handoff, lambda count: blocks, lambda blocks: None))
    await asyncio.sleep(QUIET_S)
    told = asyncio.create_task(_told(child, "ready"))
    await pull
    usable = time.monotonic()
    return (usable - float(await told)) * 1e3


async def _told(child: "subprocess.Popen[str]", line: str) -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(line + "\n")
    child.stdin.flush()
    answer = await asyncio.to_thread(child.stdout.readline)
    return str(json.loads(answer))


@contextmanager
def idle_worker() -> Iterator[int]:
    """The pid of a decode worker that is ready and has nothing to do."""
    argv = [sys.executable, "-m", "baton.cluster.entry", "decode", str(DEMO), "--ready-fd=1"]
    argv += ["--kv-cache-memory-bytes=256MiB", "--log-level=error"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            yield json.loads(worker.stdout.readline())["pid"]
        finally:
            worker.terminate()
            worker.wait()


def idle_share(pid: int, seconds: float) -> float:
    """Of one core, over all threads, as the kernel counts."""
    before = cpu_seconds(pid)
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


def cpu_seconds(*pids: int) -> float:
    """Of all threads there ever were."""
    clocks = [~pid << 3 | 2 for pid in pids]  # as clock_getcpuclockid(3) makes them
    return sum(time.clock_gettime(clock) for clock in clocks)
