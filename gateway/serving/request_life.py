"""What one request has behind it: its tokens, its text, its attempts, and what broke under it."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from baton.core.errors import InternalError
from baton.core.handoff import Handoff
from baton.core.token_record import TokenLogprobs, TokenRecord
from gateway.admission.line import Turn
from gateway.breaks import Breaks
from gateway.job import Job
from gateway.members.assignment import Assignment
from gateway.output import Output
from gateway.placing.refusals import Refusals
from gateway.reading import Reading
from gateway.serving.attempt import Attempt
from gateway.serving.continuation import Part, continued
from gateway.serving.token_log import TokenLog
from gateway.telemetry.trail import Trail

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane


class RequestLife:
    """Log and output live as long as the request: whoever goes on with it goes on with them.

    `again`: what became of the tokens that were answered before this request.
    """

    def __init__(self, job: Job, output: Output, turn: Turn, trail: Trail) -> None:
        self.job = job
        self.output = output
        self.turn = turn
        self.trail = trail
        self.breaks = Breaks()
        self.refusals = Refusals()
        self._log = self._new_log()
        self.again = output.push(self._log.records(0)) if job.answered else []
        self._attempts = 0
        self._first: Attempt | None = None
        self._carrier: Attempt | None = None  # of the KV that the request has brought
        self._continued_on: list[str] = []
        self._moves = 0

    @property
    def begun(self) -> bool:
        """Tokens were given out: nothing of them may be taken back."""
        return self._first is not None

    def attempt(
        self,
        part: Part,
        assignment: Assignment,
        silence: float,
        lane: "Lane | None",
        handoff: Handoff | None = None,
    ) -> Attempt:
        """`handoff`: from a decode worker that lets go of the part. `lane`: that it is a phase of."""
        self._attempts += 1
        log = self._log.section(part.choices)
        tried = self._carrier is not None and self._carrier.reserved
        brought = None if handoff or tried else part.job.brought
        attempt = Attempt(
            *(part.job, self._attempts, assignment, silence, log, lane),
            handoff,
            brought,
        )
        if brought is not None:
            self._carrier = attempt
        return attempt

    def new_lane(self) -> "Lane | None":
        """For the phases of what goes on by itself, if the request is traced."""
        return None if self.job.trace is None else self.job.trace.lane(self.job)

    @property
    def took_brought(self) -> bool:
        """A decode worker was asked to pull the KV that the request has brought."""
        return self._carrier is not None and self._carrier.reserved

    def gave(self, attempt: Attempt) -> None:
        """The attempt's first tokens are given out."""
        if self._first is None:
            self._first = attempt
        else:
            self._continued_on.append(attempt.decode_worker.info.worker_id)
            self._moves += attempt.takes_over
            what = "moved" if attempt.takes_over else "continued"
            self.trail.met(time.monotonic(), what, attempt.decode_worker.info.worker_id)

    def broke(self, attempt: Attempt) -> bool:
        """Whether it is another break than those before."""
        lost = bool(attempt.suspects)
        return self.breaks.note(attempt.decode_worker, attempt.number, self._attempts, lost)

    def left_of(self, part: Part) -> list[Part]:
        """What must be placed again after the attempt at `part` broke. As long as nothing was given
        out, that is all of it, and what was held back does not count.
        """
        if not self.begun:
            self._log = self._new_log()
            return [part]
        return self.going_on(part.choices)

    def going_on(self, choices: Iterable[int]) -> list[Part]:
        """One for each of them that neither its workers nor its text have ended."""
        return continued(self.job, choices, self._log, self.output)

    @property
    def prompt_scores(self) -> tuple[TokenLogprobs, ...]:
        return self._first_attempt.prompt_scores

    async def read(self) -> Reading:
        """How the prompt was read by those who gave the first tokens; for when all are there."""
        reading = await self._first_attempt.read()
        reading.failovers = self.breaks.total
        reading.continued_on = tuple(self._continued_on)
        reading.moves = self._moves
        return reading

    def _new_log(self) -> TokenLog:
        """With what was answered before this request."""
        log, first = TokenLog(len(self.job.prompt), self.job.params.n), len(self.job.prompt)
        log.add([TokenRecord(0, first + i, t) for i, t in enumerate(self.job.answered)])
        return log

    @property
    def _first_attempt(self) -> Attempt:
        if self._first is None:
            raise InternalError("nothing was given out of this answer yet")
        return self._first
