"""The call to an encode worker within an attempt, and whether whoever reads the prompt has got from it
what it needs.
"""

from typing import TYPE_CHECKING

from baton.core.handoff import Handoff, new_id, new_ticket
from gateway.call_events import ImagesPulled, Released
from gateway.job import Job
from gateway.members.worker import Worker
from gateway.serving.leg import Broken, Ended, Leg, LegEvent, Letters

if TYPE_CHECKING:
    from baton.telemetry.tracing import Metadata


class EncodeLeg:
    """`worker` was taken; it is given back when the call is over, or `cancel` says that there was none."""

    def __init__(self, worker: Worker, job: Job, attempt: int) -> None:
        self.worker = worker
        self.handoff = Handoff(new_id(), new_ticket(), worker.info.address, worker.info.instance_id)
        self.awaited = True  # the reader may still need it
        self.leg: Leg | None = None
        self.over = False  # it has said its last
        self._job = job
        self._attempt = attempt
        self._given_back = False

    def open(self, mailbox: Letters, metadata: "Metadata") -> Leg:
        call = self.worker.client.encode(self._job, self._attempt, self.handoff, metadata)
        self.leg = Leg(self.worker, call, mailbox)
        return self.leg

    def hear(self, event: LegEvent) -> None:
        """What the encode worker says. Raises the error that it breaks off with while the reader waits."""
        self.over |= isinstance(event, Broken | Ended)
        match event:
            case Released(confirmed=True):
                self.awaited = False
            case Broken(error) if self.awaited:
                raise error

    def came(self, pulled: ImagesPulled) -> None:
        """The reader has its images. Where it had kept them nobody pulls, and what is lent goes back."""
        self.awaited = False
        if not pulled.images and self.leg is not None:
            self.leg.cancel()

    def cancel(self) -> None:
        if self.leg is not None:
            self.leg.cancel()
        elif not self._given_back:
            self._given_back = True
            self.worker.give_back(freed=False)
