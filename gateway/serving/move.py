"""One running choice on its way from one decode worker to another, KV and all."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

from baton.core.errors import BatonError, TransferError
from baton.core.handoff import Handoff
from gateway.call_events import Lent, Released
from gateway.serving.attempt import Attempt
from gateway.telemetry.move_result import MoveResult

logger = logging.getLogger(__name__)


class Move:
    """Begins at once: `target` reserves, then `source` is asked to hand the choice over. Once the
    source has told that the choice left, it is the target's, whatever has come of the move: a
    target that cannot have it ends with the reason as soon as it is read.

    `over` is called at the end, with no result where the move was cancelled.
    """

    def __init__(
        self,
        source: Attempt,
        choice: int,
        target: Attempt,
        handoff: Handoff,
        over: Callable[[MoveResult | None], None],
    ) -> None:
        self.target = target
        self._source = source
        self._choice = choice
        self._handoff = handoff
        self._over = over
        self._result = MoveResult.REFUSED  # as far as it got
        source.decode_worker.take()
        self._task = asyncio.create_task(self._run(), name=f"move choice {choice}")
        self._task.add_done_callback(self._end)

    @property
    def stays(self) -> bool:
        """It came to nothing: the choice may be asked for again."""
        return self._task.done() and self._result is MoveResult.REFUSED

    def cancel(self) -> None:
        """For a choice that needs no other worker any more, or has it from elsewhere."""
        self._task.cancel()
        self.target.cancel()
        self.target.over()

    async def settle(self, patience: float) -> None:
        """For a request that is over: what its last tokens have overtaken is heard to the end."""
        if self.target.ended:
            await asyncio.wait({self._task}, timeout=patience)
        self.cancel()

    async def _run(self) -> None:
        try:
            await self.target.reserve()
            await self._hand_over()
        except BatonError as error:
            logger.info("a move came to nothing (%s): %s", self._result.value, error)
            if self._result is MoveResult.REFUSED:  # else the target knows better what it has
                self.target.cancel()
                self.target.over(error)
                self.target.fail(TransferError(f"the answer was to move and did not: {error}"))

    async def _hand_over(self) -> None:
        call = self._source.hand_over(self._choice, self._handoff)
        try:
            async with aclosing(call.events()) as events:
                async for event in events:
                    match event:
                        case Lent():
                            self._result = MoveResult.FAILED  # until it has arrived
                        case Released(confirmed=True):
                            self._result = MoveResult.MOVED
        finally:
            call.cancel()

    def _end(self, task: "asyncio.Task[None]") -> None:
        self._source.decode_worker.give_back(freed=False)
        self._over(None if task.cancelled() else self._result)
