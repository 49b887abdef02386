"""Gives a running choice to another decode worker: stop it, lend its blocks, wait for the verdict."""

import asyncio
from collections.abc import AsyncGenerator

from baton.core.errors import BatonError
from baton.engine.work import ChoiceLent
from baton.v1 import decode_pb2 as pb
from baton.worker.desk import key_of
from baton.worker.worker import Worker
from kv_transfer.sending import Lease


async def hand_over(
    worker: Worker, request: pb.HandOverRequest
) -> AsyncGenerator[pb.HandOverResponse, None]:
    """Raises RefusedError while the choice goes on as if nobody had asked.

    A worker that drains still does it: it is one of the ways in which it gets rid of its requests.
    """
    lease = worker.sender.open(request.transfer_id, request.ticket, drop=_nothing_to_drop)
    leaving = _Leaving(lease)
    try:
        key = key_of(request.request_id, request.attempt)
        worker.bridge.give_away(key, request.choice, leaving.take)
        num_tokens = await leaving.lent
        yield pb.HandOverResponse(lent=pb.HandOverLent(num_tokens=num_tokens))
        confirmed = await lease.ended()
        yield pb.HandOverResponse(released=pb.HandOverReleased(confirmed=confirmed))
    except BatonError as error:
        lease.failed(error)
        raise
    finally:
        lease.stream_closed()
        worker.board.touch()


class _Leaving:
    """Feeds the lease with what the engine gives away, also when nobody waits for it any more."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.lent: asyncio.Future[int] = asyncio.get_running_loop().create_future()  # tokens

    def take(self, told: ChoiceLent | BatonError) -> None:
        if isinstance(told, BatonError):
            self._lease.failed(told)
            if not self.lent.done():
                self.lent.set_exception(told)
            return
        self._lease.blocks_lent(told.blocks, told.num_computed)
        self._lease.finished(told.records, continuation=True)
        if not self.lent.done():
            self.lent.set_result(told.num_computed + 1)


def _nothing_to_drop() -> None:
    """The choice has left the engine, or is about to; its blocks come back with the lease."""
