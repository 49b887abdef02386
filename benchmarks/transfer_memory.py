"""What both processes of `benchmarks.transfer` agree on: memory, work, and the plain loops' bytes."""

import random
import socket
import struct
from collections.abc import Sequence

from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.engine.blocks.kv_pool import KvPool
from kv_transfer.memory import Run, runs_of

SMALL = LayoutDescriptor(  # of the preset `small`
    num_layers=28, num_kv_heads=8, head_dim=128, block_size=16, dtype="bfloat16"
)
LIGHT = LayoutDescriptor(  # 64 KiB a block: 16 of them are 1 MiB
    num_layers=8, num_kv_heads=2, head_dim=64, block_size=16, dtype="bfloat16"
)
NUM_BLOCKS = 160
LIGHT_TOKENS = 256

# The plain loops: bytes of a piece and pieces that the sender gives to one call, and bytes that the
# receiver asks for at once. Which of them is the fastest differs from run to run.
PLAIN_LOOPS = {
    "sockets, 64 x 32 KiB": (32 << 10, 64, 256 << 10),
    "sockets, whole blocks": (SMALL.block_bytes, 1, 1 << 20),
    "sockets, 640 KiB": (640 << 10, 1, 256 << 10),
}
_ASK = struct.Struct("!BI")
_RANGE = struct.Struct("!QQ")


def touched_pool(layout: LayoutDescriptor, num_blocks: int, seed: int) -> KvPool:
    """Every page is mapped and filled: a first touch costs more than a copy."""
    pool = KvPool(layout, num_blocks)
    block = random.Random(seed).randbytes(layout.block_bytes)
    for number in range(num_blocks):
        start = number * layout.block_bytes
        pool.view[start : start + layout.block_bytes] = block
    return pool


def fingerprint(layout: LayoutDescriptor) -> Fingerprint:
    return Fingerprint(PROTOCOL_VERSION, "model", "", "tokenizer", layout.dtype, layout, "rope")


def workloads() -> dict[str, list[Run]]:
    """64 neighbouring blocks; 1,000 tokens in 63 blocks, of which no two are neighbours."""
    numbers = random.Random(1)
    sources = [2 * i for i in numbers.sample(range(NUM_BLOCKS // 2), 63)]
    targets = [2 * i for i in numbers.sample(range(NUM_BLOCKS // 2), 63)]
    return {
        "64 blocks": runs_of(range(8, 72), range(80, 144), SMALL.block_bytes),
        "1000 tokens": runs_of(sources, targets, SMALL.block_bytes),
    }


# The plain loops: what a program without any protocol would do.


def ask_plainly(connection: socket.socket, loop: str, runs: Sequence[Run]) -> None:
    ranges = b"".join(_RANGE.pack(run.source, run.length) for run in runs)
    connection.sendall(_ASK.pack(list(PLAIN_LOOPS).index(loop), len(runs)) + ranges)


def receive_plainly(
    connection: socket.socket, loop: str, target: memoryview, runs: Sequence[Run]
) -> None:
    _, _, slice_bytes = PLAIN_LOOPS[loop]
    ask_plainly(connection, loop, runs)
    for run in runs:
        view, done = target[run.target : run.target + run.length], 0
        while done < run.length:
            done += connection.recv_into(view[done : done + slice_bytes])


def serve_plainly(connection: socket.socket, memory: memoryview) -> None:
    while head := connection.recv(_ASK.size, socket.MSG_WAITALL):
        number, count = _ASK.unpack(head)
        data = connection.recv(count * _RANGE.size, socket.MSG_WAITALL)
        views = [memory[at : at + length] for at, length in _RANGE.iter_unpack(data)]
        piece_bytes, at_once, _ = list(PLAIN_LOOPS.values())[number]
        _send_plainly(connection, views, piece_bytes, at_once)


def _send_plainly(
    connection: socket.socket, views: Sequence[memoryview], piece_bytes: int, at_once: int
) -> None:
    pieces = [v[at : at + piece_bytes] for v in views for at in range(0, len(v), piece_bytes)]
    if at_once == 1:
        for piece in pieces:
            connection.sendall(piece)
        return
    first = 0
    while first < len(pieces):
        sent = connection.sendmsg(pieces[first : first + at_once])
        while first < len(pieces) and sent >= len(pieces[first]):
            sent -= len(pieces[first])
            first += 1
        if sent:
            pieces[first] = pieces[first][sent:]
