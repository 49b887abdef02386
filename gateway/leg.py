"""One call to one worker within an attempt, read by a task of its own."""

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass

from baton.core.errors import BatonError, InternalError, RefusedError, UnavailableError
from gateway.call_events import CallEvent, Reserved, Tokens, Vacated
from gateway.calls import Call, SharedCall
from gateway.claims import Claim
from gateway.mailbox import Mailbox
from gateway.worker import Worker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker closed the stream in good order."""


@dataclass(frozen=True, slots=True)
class Broken:
    error: BatonError


@dataclass(frozen=True, slots=True)
class Left:
    """A choice, by the request's number, that goes on at another worker; all that this one had of
    it was told.
    """

    choice: int


LegEvent = CallEvent | Ended | Broken
Letters = Mailbox[tuple["Leg", LegEvent]]


class Leg:
    """Its events go to the attempt's mailbox, the last one being Ended or Broken.

    The worker is given back when the call is over, however it ends. `unread` tokens are computed
    there before the first one is drawn. `claim`: what a decode worker is asked for.
    """

    def __init__(
        self,
        worker: Worker,
        call: Call,
        mailbox: Letters,
        unread: int = 0,
        claim: Claim | None = None,
    ) -> None:
        self.worker = worker
        self._call = call
        self._mailbox = mailbox
        self._unread = unread
        self._claim = claim  # while it is not answered
        self._freed = True  # a call that was refused or lost frees nothing
        self._task = asyncio.create_task(self._read(), name=f"call to {worker.info.worker_id}")
        self._task.add_done_callback(lambda _: self._over())
        self._expiry: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        self._call.cancel()
        self._task.cancel()

    def expire(self, patience: float) -> None:
        """Lets the call end by itself, for so many seconds. Nobody waits for it: a task that did would
        cost as much as the reading of one event, for every request.
        """
        if not self._task.done():
            self._expiry = asyncio.get_running_loop().call_later(patience, self.cancel)

    async def _read(self) -> None:
        last: LegEvent = Ended()
        try:
            async with aclosing(self._call.events()) as events:
                async for event in events:
                    self._note(event)
                    if not isinstance(event, Vacated):
                        await self._mailbox.put((self, event))
        except BatonError as error:
            last = Broken(self._named(error))
            self._freed = not isinstance(error, RefusedError | UnavailableError)
            if self._claim is not None and isinstance(error, RefusedError):
                self.worker.has_refused(self._claim)
                self._claim = None
        except Exception:  # the top of a task: the attempt must hear of it
            logger.exception("reading from %s failed", self.worker.info.worker_id)
            last = Broken(InternalError("an answer of a worker could not be read"))
        await self._mailbox.put((self, last))

    def _note(self, event: CallEvent) -> None:
        """What it says of the worker."""
        if self._unread and isinstance(event, Tokens):
            self.worker.has_read(self._unread)
            self._unread = 0
        if isinstance(event, Reserved | Vacated):
            self.worker.has_left(event.room, self._claim)
            self._claim = None

    def _over(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        self.worker.give_back(self._freed, self._unread, self._claim)

    def _named(self, error: BatonError) -> BatonError:
        """What gRPC says of a broken connection does not tell whose it was."""
        if isinstance(error, UnavailableError):
            return UnavailableError(f"{self.worker.info.worker_id} broke off: {error}")
        return error


class SharedLeg(Leg):
    """Of a call whose events may come on a stream of many: they must not wait for one reader, so a
    worker is asked to pause while the mailbox is full.
    """

    def __init__(
        self,
        worker: Worker,
        call: SharedCall,
        mailbox: Letters,
        unread: int = 0,
        claim: Claim | None = None,
    ) -> None:
        super().__init__(worker, call, mailbox, unread, claim)
        self._shared = call
        self._paused = False
        call.overhears(self._hear)

    def _hear(self, event: CallEvent) -> None:
        self._note(event)
        if isinstance(event, Vacated):
            return
        if not self._mailbox.post((self, event)) and not self._paused:
            self._paused = True
            self._shared.pause()
            self._mailbox.when_room(self._resume)

    def _resume(self) -> None:
        self._paused = False
        self._shared.resume()
