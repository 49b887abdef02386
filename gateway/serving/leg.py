"""One call to one worker within an attempt."""

import asyncio
from dataclasses import dataclass

from baton.core.errors import BatonError, RefusedError, UnavailableError
from gateway.call_events import CallEvent, Reserved, Tokens, Vacated
from gateway.members.calls import Call
from gateway.members.worker import Worker
from gateway.placing.claims import Claim
from gateway.serving.mailbox import Mailbox


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
    """Its events go to the attempt's mailbox, the last one being Ended or Broken. They may come on a
    stream of many calls, and must not wait for one reader: while the mailbox is full, the worker is
    asked to pause.

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
        self._paused = False
        self._is_over = False
        self._expiry: asyncio.TimerHandle | None = None
        call.tell(self._hear, self._ended)

    def cancel(self) -> None:
        """Nothing more is told. A broken attempt cancels its calls, notes whom it doubts, and looks for
        another worker before this one, given back, may be asked again.
        """
        self._call.cancel()
        asyncio.get_running_loop().call_soon(self._over)

    def expire(self, patience: float) -> None:
        """Lets the call end by itself, for so many seconds. Nobody waits for it: a task that did would
        cost as much as the reading of one event, for every request.
        """
        if not self._is_over:
            self._expiry = asyncio.get_running_loop().call_later(patience, self.cancel)

    def _hear(self, event: CallEvent) -> None:
        self._note(event)
        if isinstance(event, Vacated):
            return
        if not self._mailbox.post((self, event)) and not self._paused:
            self._paused = True
            self._call.pause()
            self._mailbox.when_room(self._resume)

    def _resume(self) -> None:
        self._paused = False
        self._call.resume()

    def _ended(self, error: BatonError | None) -> None:
        self._mailbox.post((self, Ended() if error is None else self._broken(error)))
        self._over()

    def _broken(self, error: BatonError) -> Broken:
        self._freed = not isinstance(error, RefusedError | UnavailableError)
        if self._claim is not None and isinstance(error, RefusedError):
            self.worker.has_refused(self._claim)
            self._claim = None
        return Broken(self._named(error))

    def _note(self, event: CallEvent) -> None:
        """What it says of the worker."""
        if self._unread and isinstance(event, Tokens):
            self.worker.has_read(self._unread)
            self._unread = 0
        if isinstance(event, Reserved | Vacated):
            self.worker.has_left(event.room, self._claim)
            self._claim = None

    def _over(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._expiry is not None:
            self._expiry.cancel()
        # Soon, not now: others are placed by it, while this attempt still settles what it was told.
        asyncio.get_running_loop().call_soon(self._give_back)

    def _give_back(self) -> None:
        self.worker.give_back(self._freed, self._unread, self._claim)

    def _named(self, error: BatonError) -> BatonError:
        """What gRPC says of a broken connection does not tell whose it was."""
        if isinstance(error, UnavailableError):
            return UnavailableError(f"{self.worker.info.worker_id} broke off: {error}")
        return error
