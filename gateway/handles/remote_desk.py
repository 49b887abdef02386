"""Requests of another router, which has chosen the workers: read a prompt for somebody else's decode
worker, or go on from what such a one has read.
"""

from collections.abc import Callable, Collection
from dataclasses import replace

from baton.core.worker_info import Role, WorkerInfo
from gateway.handles.remote_ticket import RemoteTickets
from gateway.job import Job
from gateway.placing.wishes import wrong

DECODE, PREFILL = "do_remote_decode", "do_remote_prefill"


class RemoteDesk:
    def __init__(
        self, tickets: RemoteTickets | None, known: Callable[[], Collection[WorkerInfo]]
    ) -> None:
        """`tickets` None: this gateway has a cluster of workers, and chooses among them itself."""
        self._tickets = tickets
        self._known = known

    def prepared(self, jobs: list[Job]) -> list[Job]:
        """Raises RequestError for what the worker of this gateway cannot do."""
        wishes = jobs[0].wishes
        asks = DECODE if wishes.remote_decode else PREFILL if wishes.brings else None
        if self._tickets is None:
            if asks is not None:
                raise wrong(asks, "is for a gateway that has one worker (baton gateway --worker)")
            return jobs
        reads = all(info.role is Role.PREFILL for info in self._known())
        if reads != (asks == DECODE):
            raise wrong(
                DECODE,
                "must be true: the worker of this gateway only reads prompts"
                if reads
                else "the worker of this gateway writes answers, for nobody else",
            )
        if asks is not None and len(jobs) > 1:
            raise wrong(asks, "is for one prompt")
        if wishes.brings:
            return [replace(jobs[0], brought=self._tickets.brought(dict(wishes.brings), jobs[0]))]
        return [_reading_only(jobs[0])] if wishes.remote_decode else jobs


def _reading_only(job: Job) -> Job:
    """One token is drawn as a sign that all is read; whoever decodes draws its own."""
    params = replace(job.params, n=1, max_tokens=1, min_tokens=0, beam=None)
    return replace(job, params=params)
