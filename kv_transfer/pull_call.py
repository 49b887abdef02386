"""One Pull, as the receiver's side of the stream: its messages become events, the question for the
verdict goes out on it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import grpc

from baton.core.errors import BatonError, TransferError, UnavailableError
from baton.core.handoff import Epoch, Handoff
from baton.rpc.errors import from_rpc_error
from baton.rpc.request_metadata import request_metadata
from baton.rpc.wire import epoch_to_pb
from baton.v1 import kv_transfer_pb2 as pb
from kv_transfer import receiver_events as ev
from kv_transfer.peers import Peer
from kv_transfer.pull_events import events_of


class PullCall:
    """`follow` it in a task; `ask` once. Every question gets one event: its verdict, or that it was
    lost.
    """

    def __init__(self, peer: Peer, tell: Callable[[ev.ReceiverEvent], None]) -> None:
        self._call = peer.stub.Pull(metadata=request_metadata())
        self._tell = tell
        self._asked = False  # and not answered
        self._over = False

    async def follow(
        self,
        handoff: Handoff,
        instance_id: str,
        checksums: bool,
        prefix_names: Sequence[bytes] = (),
    ) -> None:
        """To the stream's end, which is told as the others' events are. `instance_id` is the caller's."""
        request = pb.PullRequest(
            transfer_id=handoff.transfer_id,
            ticket=handoff.ticket,
            instance_id=instance_id,
            checksums=checksums,
            prefix_names=prefix_names,
        )
        error: BatonError = UnavailableError("the link to the sender was closed")
        # Beside the reading: where the sender dies as the call begins, gRPC lets its writer wait for
        # ever, and tells only its reader.
        writing = asyncio.create_task(self._write(request))
        try:
            async for message in self._call:
                for event in events_of(message, checksums):
                    self._hear(event)
            error = UnavailableError("the sender ended the stream")
        except grpc.aio.AioRpcError as broken:
            error = from_rpc_error(broken)
        finally:  # a channel closed under the call looks like a cancellation, and must be told too
            self._over = True
            writing.cancel()
            self._tell(ev.PullBroken(error))
            self._lose(error)

    async def ask(self, epoch: Epoch) -> None:
        """For the verdict on the bytes that were read."""
        self._asked = True
        if self._over:
            self._lose(UnavailableError("the stream had ended"))
        else:
            await self._write(pb.PullRequest(confirm=epoch_to_pb(epoch)))

    async def _write(self, request: pb.PullRequest) -> None:
        """A call that has failed says so to whoever reads it."""
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await self._call.write(request)

    def _hear(self, event: ev.ReceiverEvent) -> None:
        if isinstance(event, ev.ConfirmAnswered):
            if not self._asked:
                event = ev.PullBroken(TransferError("the sender answered what nobody had asked"))
            self._asked = False
        self._tell(event)

    def _lose(self, error: BatonError) -> None:
        if self._asked:
            self._asked = False
            self._tell(ev.ConfirmLost(str(error)))
