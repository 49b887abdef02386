"""The receiving half of a worker: pulls KV caches into its pool."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import grpc

from baton.core.errors import BatonError
from baton.core.fingerprint import Fingerprint
from baton.core.handoff import Handoff
from baton.rpc.tls_identity import TlsIdentity
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer.memory import Memory
from kv_transfer.peers import Peers
from kv_transfer.pulling import Allocate, Pulled, Pulling, Release
from kv_transfer.read_meter import ReadMeter
from kv_transfer.receiver import ReceiverMachine
from kv_transfer.receiver_events import ReceiverLimits
from kv_transfer.staging import Landing
from kv_transfer.transports.base import LinkLimits
from kv_transfer.transports.negotiate import AUTO

logger = logging.getLogger(__name__)

ABORT_S = 1.0  # for telling the sender; nobody waits


@dataclass(frozen=True, slots=True)
class PullLimits:
    """Bounds for every wait on a sender."""

    machine: ReceiverLimits = field(default_factory=ReceiverLimits)
    link: LinkLimits = field(default_factory=LinkLimits)


@dataclass(frozen=True, slots=True)
class PullCounts:
    """What is under way now."""

    pulls: int
    blocks: int  # of this worker's pool, which they fill


@dataclass(frozen=True, slots=True)
class Prefix:
    """Cached blocks of a sender, by their names, and how patiently they are waited for."""

    names: tuple[bytes, ...]
    limits: ReceiverLimits


class Puller:
    """Call everything on one asyncio loop's thread; `close` once no pull is wanted any more."""

    def __init__(
        self,
        instance_id: str,
        memory: Memory,
        fingerprint: Fingerprint,
        secret: str = "",
        transports: str = AUTO,
        limits: PullLimits | None = None,
        tls: TlsIdentity | None = None,
        checksums: str = "auto",
        landing: Landing | None = None,
    ) -> None:
        """`transports` is one of `negotiate.CHOICES`, `checksums` one of `checksums.CHOICES`.

        `memory` is what transports write to: the pool itself, or with `landing` the slots in its place.
        """
        self._landing = landing
        self._instance_id = instance_id
        self._memory = memory
        self._digest = fingerprint.digest()
        self._block_size = fingerprint.layout.block_size
        self._limits = limits or PullLimits()
        self._checksums = checksums
        self._wrong = 0
        self._repaired = 0
        self.reads = ReadMeter()
        self._peers = Peers(
            instance_id,
            memory,
            fingerprint,
            secret,
            transports,
            self._limits.link,
            self.reads,
            tls,
            landing,
        )
        self._pulls: dict[asyncio.Task[Pulled], Pulling] = {}
        self._rest: set[asyncio.Task[None]] = set()  # aborts to tell, streams to see the end of

    async def pull(
        self,
        handoff: Handoff,
        allocate: Allocate,
        release: Release,
        held: tuple[int, ...] = (),
        prefix: Prefix | None = None,
    ) -> Pulled:
        """Raises TransferError or UnavailableError.

        `prefix`: cached blocks are asked for, and nobody has opened a lease on them.

        `held` are full blocks that hold the first tokens already, with one reference each that is
        this call's from now on: only what comes behind them is read.
        `allocate(n)` gives n blocks with one reference each, or None; at most one call, at the
        first ready segment, none where nothing is lacking. However this ends, cancellation included, it ends only when no byte
        can land in them any more; unless they are returned, they have been released.
        """
        pulling = self._start(handoff, allocate, release, held, prefix)
        task = asyncio.create_task(pulling.run())
        self._pulls[task] = pulling
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            pulling.abort("the pull was cancelled")
            await _finished(task)
            if not task.cancelled() and task.exception() is None:
                release(task.result().blocks)  # the verdict was faster, but nobody wants them
            raise
        finally:
            del self._pulls[task]
            self._wrong += pulling.wrong_blocks
            self._repaired += pulling.repaired_blocks
            self._spawn(pulling.stopped())  # decode need not wait for that

    def counts(self) -> PullCounts:
        """A reading, taken from any thread."""
        pulls = list(self._pulls.values())  # in one step: the dict may change meanwhile
        return PullCounts(len(pulls), sum(pulling.num_blocks for pulling in pulls))

    @property
    def wrong_blocks(self) -> int:
        """That came with a wrong checksum, each time that they did; only grows."""
        return self._wrong

    @property
    def repaired_blocks(self) -> int:
        """Read again because their checksum was wrong, whatever became of them; only grows."""
        return self._repaired

    async def close(self) -> None:
        """Aborts what is under way, waits for its end, forgets all peers."""
        pulls = dict(self._pulls)
        for pulling in pulls.values():
            pulling.abort("the worker stops")
        await asyncio.gather(*pulls, return_exceptions=True)
        await asyncio.gather(*(pulling.stopped() for pulling in pulls.values()))
        while self._rest:  # also those just begun
            await asyncio.wait(self._rest)
        await self._peers.close()

    def _start(
        self,
        handoff: Handoff,
        allocate: Allocate,
        release: Release,
        held: tuple[int, ...],
        prefix: Prefix | None,
    ) -> Pulling:
        machine = ReceiverMachine(
            handoff.instance_id,
            self._digest,
            self._block_size,
            prefix.limits if prefix else self._limits.machine,
            asyncio.get_running_loop().time(),
            held,
        )
        return Pulling(
            self._instance_id,
            handoff,
            machine,
            self._peers,
            self._memory,
            self._checksums,
            allocate,
            release,
            self._tell_abort,
            prefix.names if prefix else (),
            self._landing,
        )

    def _tell_abort(self, handoff: Handoff, reason: str) -> None:
        self._spawn(_send_abort(self._peers, handoff, reason))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._rest.add(task)
        task.add_done_callback(self._rest.discard)


async def _send_abort(peers: Peers, handoff: Handoff, reason: str) -> None:
    """Also where the pull ended before it had found its sender, which would wait for it."""
    request = pb.AbortRequest(transfer_id=handoff.transfer_id, ticket=handoff.ticket, reason=reason)
    try:
        async with asyncio.timeout(ABORT_S):
            peer = await peers.get(handoff.address, handoff.instance_id)
            await peer.stub.Abort(request)
    except (grpc.aio.AioRpcError, BatonError, TimeoutError, asyncio.CancelledError) as error:
        logger.info(
            "Transfer %s: the sender did not hear the abort: %r", handoff.transfer_id, error
        )


async def _finished(task: "asyncio.Task[Pulled]") -> None:
    """Waits for the end of `task`, however often the waiting itself is cancelled."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
