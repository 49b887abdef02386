"""A sending and a receiving worker, without engines, joined by real gRPC and real data planes."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc

from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.handoff import Handoff, new_id, new_ticket
from baton.core.layout import LayoutDescriptor
from baton.core.token_record import TokenRecord
from baton.engine.blocks.kv_pool import KvPool
from baton.rpc.channel import open_channel
from baton.rpc.server import bind, make_server
from baton.v1 import kv_transfer_pb2 as pb
from baton.v1 import kv_transfer_pb2_grpc as pb_grpc
from kv_transfer.puller import Puller, PullLimits
from kv_transfer.pulling import Pulled
from kv_transfer.receiver_events import ReceiverLimits
from kv_transfer.sender_events import SenderLimits
from kv_transfer.sending import Lease, Sender
from kv_transfer.service import KvTransferServicer
from kv_transfer.transports.base import Exporter, LinkLimits
from kv_transfer.transports.grpc_export import GrpcExporter
from kv_transfer.transports.shm import ShmExporter
from kv_transfer.transports.tcp_export import TcpExporter

LAYOUT = LayoutDescriptor(
    num_layers=2, num_kv_heads=2, head_dim=16, block_size=16, dtype="float32"
)  # 8 KiB a block
NUM_BLOCKS = 64
SECRET = "of the cluster"
FINGERPRINT = Fingerprint(
    protocol=PROTOCOL_VERSION,
    model_digest="model",
    revision="",
    tokenizer_digest="tokenizer",
    dtype="float32",
    layout=LAYOUT,
    rope_digest="rope",
)
LINK = LinkLimits(connect_s=2, stall_s=2)
PULL_LIMITS = PullLimits(
    ReceiverLimits(reserved_s=5, opening_s=5, receiving_s=5, confirming_s=2), LINK
)
SENDER_LIMITS = SenderLimits(ttl_s=10, pull_wait_s=5)


class Books:
    """Which blocks of a pool are lent out; a double release is an error."""

    def __init__(self, num_blocks: int = NUM_BLOCKS) -> None:
        self.free = list(range(num_blocks))[::-1]
        self.held: set[int] = set()
        self.taken: list[int] = []  # in the order of taking
        self.changed = asyncio.Event()

    def take(self, num_blocks: int) -> tuple[int, ...] | None:
        if num_blocks > len(self.free):
            return None
        blocks = tuple(self.free.pop() for _ in range(num_blocks))
        self.held |= set(blocks)
        self.taken += blocks
        self.changed.set()
        return blocks

    def release(self, blocks: tuple[int, ...]) -> None:
        assert set(blocks) <= self.held
        self.held -= set(blocks)
        self.free += blocks
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until `condition` holds, looking again at every change of the books."""
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 10)


class Prefill:
    """Plays the engine and the prefill role for one prompt."""

    def __init__(self, side: "SendingSide", handoff: Handoff, num_tokens: int) -> None:
        self.side = side
        self.handoff = handoff
        self.num_tokens = num_tokens
        self.records = (TokenRecord(0, num_tokens, 7), TokenRecord(1, num_tokens, 8))
        self.blocks: tuple[int, ...] = ()
        self.dropped = asyncio.Event()
        self.lease: Lease = side.sender.open(handoff.transfer_id, handoff.ticket, self.dropped.set)

    def lend(self) -> None:
        blocks = self.side.books.take(LAYOUT.blocks_for(self.num_tokens))
        assert blocks is not None
        self.blocks = blocks
        self.lease.blocks_lent(blocks, self.num_tokens)

    def compute(self, num_tokens: int) -> None:
        """Fills the blocks that become final with random bytes, then says so."""
        for block in self.blocks[: LAYOUT.blocks_for(num_tokens)]:
            start = block * LAYOUT.block_bytes
            if not any(self.side.pool.view[start : start + 16]):
                fresh = os.urandom(LAYOUT.block_bytes)
                self.side.pool.view[start : start + LAYOUT.block_bytes] = fresh
        self.lease.chunk_computed(num_tokens)

    def finish(self, continuation: bool = True) -> None:
        self.compute(self.num_tokens)
        self.lease.finished(self.records, continuation)

    def run(self) -> "Prefill":
        self.lend()
        self.finish()
        return self

    def lend_late(self) -> None:
        """As an engine may that was told to drop the prefill while it allocated."""
        blocks = self.side.books.take(1)
        assert blocks is not None
        self.lease.blocks_lent(blocks, 1)

    def bytes(self) -> bytes:
        return bytes_of(self.side.pool, self.blocks)

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.lease.ended(), 10)


def bytes_of(pool: KvPool, blocks: tuple[int, ...]) -> bytes:
    size = pool.block_bytes
    return b"".join(bytes(pool.view[b * size : (b + 1) * size]) for b in blocks)


@dataclass
class SendingSide:
    pool: KvPool
    books: Books
    sender: Sender
    tcp: TcpExporter
    server: grpc.aio.Server
    address: str

    def handoff(self) -> Handoff:
        return Handoff(new_id(), new_ticket(), self.address, self.sender.instance_id)

    def prefill(self, handoff: Handoff, num_tokens: int) -> Prefill:
        return Prefill(self, handoff, num_tokens)

    def holds_nothing(self) -> bool:
        counts = self.sender.counts()
        return not self.books.held and counts.open_leases == counts.leased_blocks == 0


@dataclass
class Pair:
    p: SendingSide
    d: "ReceivingSide"


@dataclass
class ReceivingSide:
    pool: KvPool
    books: Books
    puller: Puller

    def pull(self, handoff: Handoff) -> "asyncio.Task[Pulled]":
        pull = self.puller.pull(handoff, self.books.take, self.books.release)
        return asyncio.create_task(pull)


@asynccontextmanager
async def sending_side(
    pool: KvPool,
    instance_id: str = "p-1",
    port: int = 0,
    limits: SenderLimits = SENDER_LIMITS,
    fingerprint: Fingerprint = FINGERPRINT,
    exporters: Sequence[Exporter] | None = None,
) -> AsyncIterator[SendingSide]:
    books = Books(pool.num_blocks)
    tcp = TcpExporter(pool, limits=LINK)
    server = make_server(SECRET)
    address = f"127.0.0.1:{bind(server, '127.0.0.1', port)}"
    over_grpc = GrpcExporter(pool, address)
    over_grpc.add_to(server)
    sender = Sender(
        instance_id,
        fingerprint,
        pool.num_blocks,
        pool,
        books.release,
        exporters or [ShmExporter(pool, LINK), tcp, over_grpc],
        limits,
    )
    pb_grpc.add_KvTransferServiceServicer_to_server(KvTransferServicer(sender), server)
    sender.start()
    await server.start()
    try:
        yield SendingSide(pool, books, sender, tcp, server, address)
    finally:
        sender.close()
        await server.stop(0)


@asynccontextmanager
async def receiving_side(
    pool: KvPool,
    transports: str = "auto",
    limits: PullLimits = PULL_LIMITS,
    fingerprint: Fingerprint = FINGERPRINT,
    secret: str = SECRET,
    checksums: str = "auto",
) -> AsyncIterator[ReceivingSide]:
    puller = Puller("d-1", pool, fingerprint, secret, transports, limits, checksums=checksums)
    try:
        yield ReceivingSide(pool, Books(pool.num_blocks), puller)
    finally:
        await puller.close()


def other_model() -> Fingerprint:
    return replace(FINGERPRINT, model_digest="another model")


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until `condition` holds, 10 s at most."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0)


@asynccontextmanager
async def control(side: SendingSide) -> AsyncIterator["pb_grpc.KvTransferServiceAsyncStub"]:
    """The bare control service, for a caller that does not play by the rules."""
    channel = open_channel(side.address, SECRET)
    try:
        yield pb_grpc.KvTransferServiceStub(channel)
    finally:
        await channel.close()


PullStream = grpc.aio.StreamStreamCall[pb.PullRequest, pb.PullResponse]


async def opened(
    stub: "pb_grpc.KvTransferServiceAsyncStub", handoff: Handoff, checksums: bool = False
) -> "PullStream":
    """A Pull that has shown its ticket."""
    call: PullStream = stub.Pull()
    await call.write(
        pb.PullRequest(transfer_id=handoff.transfer_id, ticket=handoff.ticket, checksums=checksums)
    )
    return call


def kinds_of(message: object) -> list[str]:
    """What one message of a Pull tells, in order."""
    assert isinstance(message, pb.PullResponse)
    return [field.name for field, _ in message.ListFields()]


async def lease_of(stream: "PullStream") -> pb.PullLease:
    """The first message of a Pull."""
    message = await stream.read()
    assert isinstance(message, pb.PullResponse)
    return message.lease
