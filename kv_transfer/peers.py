"""The senders that this worker pulls from: found once, kept while they live, then forgotten."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from baton.core.errors import BatonError, TransferError, UnavailableError
from baton.core.fingerprint import Fingerprint
from baton.rpc.channel import open_channel
from baton.rpc.errors import from_rpc_error
from baton.rpc.tls_identity import TlsIdentity
from baton.rpc.wire import fingerprint_from_pb
from baton.telemetry.request_context import apart
from baton.v1 import kv_transfer_pb2 as pb
from baton.v1 import kv_transfer_pb2_grpc as pb_grpc
from kv_transfer.memory import Memory, Run
from kv_transfer.read_meter import ReadMeter
from kv_transfer.same_host import is_this_host
from kv_transfer.set_aside import SetAside
from kv_transfer.staging import Landing, StagedReader
from kv_transfer.transports import shm
from kv_transfer.transports.base import Endpoint, LinkLimits, Reader
from kv_transfer.transports.mapping import MappedReader
from kv_transfer.transports.negotiate import negotiate
from kv_transfer.transports.planes import allowed

logger = logging.getLogger(__name__)

IN_MEMORY = frozenset({shm.NAME})  # data planes that never leave the host
SHORT_BYTES = 1 << 20  # some tenths of a millisecond, as long as to a thread and back

PeerKey = tuple[str, str]  # address, instance id
FindWrong = Callable[[], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Landed:
    """A read whose every byte is here. Times are of `time.monotonic`."""

    start: float  # before the first byte was asked for
    end: float  # after the last byte had been compared
    wrong: tuple[int, ...]  # what `find_wrong` has found


class Peer:
    """One sender: its control channel and a thread of its own that reads its memory, unless little
    is to be copied.
    """

    def __init__(self, key: PeerKey, channel: grpc.aio.Channel, meter: ReadMeter) -> None:
        self.key = key
        self._meter = meter
        self.channel = channel
        self.stub: Any = pb_grpc.KvTransferServiceStub(
            channel
        )  # its async type exists in stubs only
        self.watcher: asyncio.Task[None] | None = None  # cancelled with the peer's end
        self.leaves_host = True  # the bytes do on their way here; known once linked
        self.avoided: frozenset[str] = frozenset()  # better planes that had been set aside
        self._reader: Reader | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kv-read")
        self._reads = 0  # in the thread
        self._closed = False

    @property
    def transport(self) -> str:
        return self._reader.transport if self._reader else "none"

    @property
    def progress(self) -> int:
        """Grows while bytes land, whoever wanted them."""
        return self._reader.progress if self._reader else 0

    async def link(self, find: Callable[[], Reader]) -> None:
        """`find` looks for a data plane, in the reading thread: between two reads where there is a
        link already, which stays if none is found.
        """
        if self._closed:
            raise TransferError("the link to the peer was closed")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._link, find)

    def _link(self, find: Callable[[], Reader]) -> None:
        old, self._reader = self._reader, find()
        if old is not None:
            old.close()
        self.leaves_host = self.transport not in IN_MEMORY and not is_this_host(self.key[0])

    def read(
        self, runs: Sequence[Run], cancelled: threading.Event, find_wrong: FindWrong
    ) -> asyncio.Future[Landed]:
        """Done when every byte has landed, failed when none lands any more. Never cancel it:
        the thread would go on unseen. Set `cancelled` instead. `find_wrong` is called where the
        bytes were read, once they are here and still in its caches.
        """
        loop = asyncio.get_running_loop()
        if self._closed:
            future: asyncio.Future[Landed] = loop.create_future()
            future.set_exception(TransferError("the link to the peer was closed"))
            return future
        if self._is_short(runs):
            future = loop.create_future()
            try:
                future.set_result(self._read(runs, cancelled, find_wrong))
            except Exception as error:  # whatever it is, as from the thread
                future.set_exception(error)
            return future
        self._reads += 1
        read = loop.run_in_executor(self._thread, self._read, runs, cancelled, find_wrong)
        read.add_done_callback(lambda _: self._finished())
        return read

    def _is_short(self, runs: Sequence[Run]) -> bool:
        """A copy in memory, which nothing can stall, behind no other: done before the thread would
        have begun.
        """
        if self._reads or not isinstance(self._reader, MappedReader):
            return False
        return sum(run.length for run in runs) <= SHORT_BYTES

    def _finished(self) -> None:
        self._reads -= 1

    def _read(
        self, runs: Sequence[Run], cancelled: threading.Event, find_wrong: FindWrong
    ) -> Landed:
        if self._reader is None:
            raise TransferError("there is no link to the peer")
        start, transport = time.monotonic(), self.transport
        try:
            self._reader.read(runs, wanted=lambda: not cancelled.is_set())
        except Exception:
            if not (cancelled.is_set() or self._closed):  # nobody has ended it
                self._meter.failed(transport)
            raise
        num_bytes = sum(run.length for run in runs)
        self._meter.done(transport, num_bytes, time.monotonic() - start)
        wrong = find_wrong()
        return Landed(start, time.monotonic(), wrong)

    @property
    def closed(self) -> bool:
        return self._closed

    async def close(self) -> None:
        """Ends running reads, then the thread, the mapping or socket, and the channel."""
        if self._closed:
            return
        self._closed = True
        if self.watcher is not None:
            self.watcher.cancel()
        self._close_reader()
        # What is queued fails at once now; behind the last of it the thread can be joined.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close_reader)
        self._thread.shutdown()
        await self.channel.close()

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()


class Peers:
    """Peers by address and instance. Call everything on one loop's thread."""

    def __init__(
        self,
        instance_id: str,
        memory: Memory,
        fingerprint: Fingerprint,
        secret: str,
        choice: str,
        limits: LinkLimits,
        meter: ReadMeter,
        tls: TlsIdentity | None = None,
        landing: Landing | None = None,
    ) -> None:
        self._instance_id = instance_id
        self._memory = memory
        self._landing = landing
        self._fingerprint = fingerprint
        self._secret = secret
        self._choice = choice
        self._limits = limits
        self._meter = meter
        self._tls = tls
        self._aside = SetAside()
        self._found: dict[PeerKey, asyncio.Task[Peer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def get(self, address: str, instance_id: str) -> Peer:
        """Raises UnavailableError when it is gone or another process, TransferError when its
        caches do not fit.
        """
        key = (address, instance_id)
        task = self._found.get(key)
        if task is None:
            task = self._found[key] = apart(self._connect(key))
            task.add_done_callback(lambda done: self._found_or_not(key, done))
        peer = await asyncio.shield(task)  # others may wait for the same peer
        if peer.avoided and not peer.avoided & self._aside.of(key):
            peer.avoided = frozenset()
            self._spawn(self._link_again(peer))
        return peer

    def broken(self, peer: Peer) -> None:
        """A read has failed: `drop`, and the next link is over another data plane, if one works."""
        if not peer.closed:  # else that is why it has failed
            self._aside.add(peer.key, peer.transport)
        self.drop(peer)

    def drop(self, peer: Peer) -> None:
        """The next `get` starts afresh; whatever still uses the peer fails."""
        task = self._found.get(peer.key)
        if task is not None and task.done() and not task.cancelled() and task.result() is peer:
            del self._found[peer.key]
        self._spawn(peer.close())

    async def close(self) -> None:
        tasks = list(self._found.values())
        self._found.clear()
        for task in tasks:
            if not task.done():
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Peer):
                await result.close()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _found_or_not(self, key: PeerKey, task: asyncio.Task[Peer]) -> None:
        if not task.cancelled() and task.exception() is None:
            peer = task.result()
            peer.watcher = self._spawn(self._watch(peer))
            self._forget_older(peer)
        elif self._found.get(key) is task:
            del self._found[key]

    def _forget_older(self, peer: Peer) -> None:
        """A worker that changes its role is another instance, behind the same open connection. It has
        seen the hand-offs of the older one through."""
        for key, task in list(self._found.items()):
            same_place = key[0] == peer.key[0] and key != peer.key
            if same_place and task.done() and not task.cancelled() and task.exception() is None:
                self.drop(task.result())

    async def _connect(self, key: PeerKey) -> Peer:
        address, instance_id = key
        async with AsyncExitStack() as stack:
            peer = Peer(key, open_channel(address, self._secret, self._tls), self._meter)
            stack.push_async_callback(peer.close)
            await self._link(peer)
            stack.pop_all()
        logger.info("Pulling from %s at %s over %s", instance_id, address, peer.transport)
        return peer

    async def _link(self, peer: Peer) -> None:
        about = await self._describe(peer)
        self._check(about, peer.key[1])
        aside = self._aside.of(peer.key)
        endpoints = [_endpoint_from_pb(e) for e in about.endpoints if self._allows(e.transport)]
        endpoints.sort(key=lambda endpoint: endpoint.transport in aside)  # else in the peer's order
        find = partial(
            negotiate, endpoints, self._memory, self._choice, self._limits, self._secret, self._tls
        )
        await peer.link(lambda: self._to_pool(find()))
        peer.avoided = aside - {peer.transport}

    def _to_pool(self, reader: Reader) -> Reader:
        return reader if self._landing is None else StagedReader(reader, self._landing)

    async def _link_again(self, peer: Peer) -> None:
        """What was set aside is tried again; reads that come meanwhile wait for it."""
        try:
            await self._link(peer)
        except BatonError as error:
            logger.info("No better data plane to %s yet: %s", peer.key[1], error)
        else:
            logger.info("Pulling from %s over %s from now on", peer.key[1], peer.transport)

    def _allows(self, transport: str) -> bool:
        return allowed(self._choice, transport, self._tls is not None)

    async def _describe(self, peer: Peer) -> pb.KvTransferServiceDescribeResponse:
        request = pb.KvTransferServiceDescribeRequest(instance_id=self._instance_id)
        try:
            about: pb.KvTransferServiceDescribeResponse = await peer.stub.Describe(
                request, timeout=self._limits.connect_s
            )
        except grpc.aio.AioRpcError as error:
            raise _as_unavailable(from_rpc_error(error)) from error
        return about

    def _check(self, about: pb.KvTransferServiceDescribeResponse, instance_id: str) -> None:
        if about.instance_id != instance_id:
            raise UnavailableError(
                f"{instance_id} is gone: it has restarted, or has another role now"
            )
        difference = self._fingerprint.difference(fingerprint_from_pb(about.fingerprint))
        if difference is not None:
            raise TransferError(f"the KV caches do not fit: {difference}")

    async def _watch(self, peer: Peer) -> None:
        """A peer that is gone keeps no memory mapped and no thread here."""
        state = peer.channel.get_state()
        while state is grpc.ChannelConnectivity.READY:
            await peer.channel.wait_for_state_change(state)
            state = peer.channel.get_state()
        self.drop(peer)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = apart(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _as_unavailable(error: BatonError) -> BatonError:
    return error if isinstance(error, UnavailableError) else UnavailableError(str(error))


def _endpoint_from_pb(message: pb.Endpoint) -> Endpoint:
    return Endpoint(
        message.transport, message.address, message.token, message.canary_offset, message.canary
    )
