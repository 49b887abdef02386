"""One placement of one request: both calls, their order, and the merging of what they tell."""

import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from baton.core.errors import (
    BatonError,
    InternalError,
    RefusedError,
    TransferError,
    UnavailableError,
)
from baton.core.handoff import Handoff, PrefixSource, new_id, new_ticket
from baton.core.token_record import PromptLogprobs, TokenLogprobs, TokenRecord
from baton.core.worker_info import WorkerInfo
from gateway.breaks import MENDABLE
from gateway.call_events import (
    Admitted,
    HandedOver,
    ImagesPulled,
    PrefixPulled,
    PromptScored,
    Reserved,
    Tokens,
    Transferred,
)
from gateway.job import Job
from gateway.members.assignment import Assignment
from gateway.members.calls import HandOverCall
from gateway.members.worker import Worker
from gateway.placing.refusals import Refusals
from gateway.reading import Reading
from gateway.serving.attempt_account import AttemptAccount
from gateway.serving.cause import cause_of
from gateway.serving.encode_leg import EncodeLeg
from gateway.serving.leg import Broken, Ended, Left, Leg, LegEvent, Letters
from gateway.serving.mailbox import Mailbox
from gateway.serving.token_log import Section
from gateway.telemetry.attempt_trace import AttemptTrace
from gateway.telemetry.request_metrics import DECODE, PREFILL, TRANSFER

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane
    from baton.telemetry.tracing import Metadata

logger = logging.getLogger(__name__)

MAILBOX_SIZE = 256  # messages; then the workers' streams are paused
RESERVE_SECONDS = 5.0  # a decode worker answers at once or is not well
CAUSE_SECONDS = 1.0  # for the error of whoever read the prompt, behind that of the hand-off
ADMITTED_SECONDS = 5.0  # for what was sent before the first token, if the last one overtook it


class Attempt:
    """Decode reserves before prefill is asked to compute, so that nothing waits in a circle.

    `prompt_scores` of a job that asks for them are whole before the first tokens: the log-
    probabilities of the prompt from its second token on. `suspects` are the workers that refused,
    broke off or fell silent.

    With a `handoff` it takes over what another decode worker writes; whoever opened it asks that
    worker to let go, once this one has reserved.
    """

    def __init__(
        self,
        job: Job,
        number: int,
        assignment: Assignment,
        silence: float,
        log: Section,
        lane: "Lane | None" = None,
        handoff: Handoff | None = None,
        brought: Handoff | None = None,
    ) -> None:
        """`brought`: by which the decode worker may get the prompt's KV, to read the rest itself.
        `lane`: of the request's trace, whose next phase this is.
        """
        self._job = job
        self._brought = brought
        self._lender = assignment.lender
        self.number = number
        self._silence = silence  # seconds
        self._mailbox: Letters = Mailbox(MAILBOX_SIZE)
        self._log = log
        self.decode_worker = assignment.decode
        self._prefill_worker = assignment.prefill
        self._unread = assignment.unread
        self._claim = assignment.claim
        self.account = AttemptAccount(assignment, job)
        self.takes_over = handoff is not None
        if handoff is None and assignment.prefill is not None:
            handoff = _handoff_from(assignment.prefill.info)
        self._handoff = handoff
        self.lane = lane
        self._trace: AttemptTrace | None = None
        if lane is not None and job.trace is not None:
            self._trace = AttemptTrace(job.trace, lane, number, job.request_id, self.takes_over)
        self._encode: EncodeLeg | None = None
        if assignment.encode is not None:
            self._encode = EncodeLeg(assignment.encode, job, number)
        self._legs: list[Leg] = []
        self._decode = self._open_decode(assignment.decode)
        self._reader: Leg | None = self._decode if self._handoff is None else None
        self.reserved = False  # the decode worker has answered: something was started
        self.writes = False  # it has told tokens: its choices are under way
        self.gave = False  # tokens were given out
        self.suspects: set[Worker] = set()
        self._link_broke = False
        self.prompt_scores: tuple[TokenLogprobs, ...] = ()

    @property
    def reading(self) -> Reading:
        return self.account.reading

    @property
    def ended(self) -> bool:
        """Each of its choices has its last token, or has left."""
        return self._log.ended

    @property
    def phase(self) -> str:
        """What it is in, for metrics."""
        if not self._log.began:
            return PREFILL
        relayed = self._handoff is not None and not self.writes
        return TRANSFER if relayed else DECODE

    async def tokens(self) -> AsyncGenerator[tuple[TokenRecord, ...] | Left, None]:
        """New records, until every choice has ended or left. Leaving early cancels both calls."""
        try:
            if not self.reserved:
                await self.reserve()
            held: tuple[TokenRecord, ...] = ()
            while not self._log.ended or held:
                leg, event = await self._heard(self._silence)
                if isinstance(event, HandedOver):
                    yield Left(self._log.leave(event.choice))
                    continue
                try:
                    held += self._digest(leg, event)
                except TransferError as error:
                    cause = await self._cause_of(error)
                    self._link_broke = cause is error and not self.suspects
                    raise cause from error
                if held and self._tellable:
                    if self._trace is not None and not self.gave:
                        self._trace.began()
                    self.gave = True
                    self.account.tokens(len(held))
                    yield held
                    held = ()
            if self._log.abandoned:  # nobody reads on here
                await self._settle_reading()
        except MENDABLE:
            if self.gave:
                await self._settle_reading()
            raise
        finally:
            self._mailbox.shut()
            if not self._log.ended:
                self.cancel()

    async def read(self) -> Reading:
        """How the prompt was read; for when the answer has ended. A number that was overtaken by
        the last token is waited for, one that is lost is None.
        """
        await self._until_admitted(ADMITTED_SECONDS)
        return self.reading

    def fail(self, error: UnavailableError | TransferError) -> None:
        """Ends the attempt from outside."""
        self._mailbox.fail(error)

    def doubt(self, refusals: Refusals) -> None:
        """Notes who is to be asked last, after a break."""
        for worker in self.suspects:
            refusals.note(worker)
        if self._link_broke and self._handoff is not None:
            refusals.note_link((self._handoff.instance_id, self.decode_worker.info.instance_id))

    def hand_over(self, choice: int, handoff: Handoff) -> HandOverCall:
        """Asks the decode worker to give the request's choice away."""
        client, number = self.decode_worker.client, self._log.number_of(choice)
        return client.hand_over(self._job.request_id, self.number, number, handoff, self._metadata)

    @property
    def _metadata(self) -> "Metadata":
        return () if self._trace is None else self._trace.metadata

    def over(self, error: BaseException | None = None) -> None:
        """Nothing more of it is read; for its trace. The first word counts."""
        if self._trace is not None:
            self._trace.end(self.reading, error)

    def cancel(self) -> None:
        self._reader = None  # it says no more
        for leg in self._legs:
            leg.cancel()
        if self._encode is not None:
            self._encode.cancel()
        if self._prefill_worker is not None:
            self._prefill_worker.give_back(freed=False, unread=self._unread)
            self._prefill_worker = None

    def finish(self, patience: float) -> None:
        """After the last token: the hand-off is confirmed behind the answer, within so many seconds."""
        for leg in self._legs:
            leg.expire(patience)

    async def reserve(self) -> None:
        """Until the decode worker has room. Raises what it refuses or breaks off with."""
        leg, event = await self._heard(RESERVE_SECONDS)
        if not isinstance(event, Reserved):
            self._digest(leg, event)
            raise InternalError("a decode worker sent something before its reservation")
        self.reserved = True
        metadata = () if self._trace is None else self._trace.reserved()
        if self._encode is not None:
            self._legs.append(self._encode.open(self._mailbox, metadata))
        if self._prefill_worker is not None and self._handoff is not None:
            worker, self._prefill_worker = self._prefill_worker, None
            prefix = self._prefix_for(worker)
            call = worker.client.prefill(
                *(self._job, self.number, self._handoff, prefix),
                metadata=metadata,
                encoded=self._encode.handoff if self._encode is not None else None,
            )
            self._reader = Leg(worker, call, self._mailbox, self._unread)
            self._legs.append(self._reader)

    def _prefix_for(self, prefill: Worker) -> PrefixSource | None:
        source = self._lender(prefill.info)
        if source is None:
            return None
        self.account.lent_by(source)
        return PrefixSource(_handoff_from(source.worker), source.num_tokens)

    async def _heard(self, patience: float) -> tuple[Leg, LegEvent]:
        try:
            return await self._mailbox.get(patience)
        except UnavailableError:
            reads = self._reader is not None and not self._log.began
            silent = self._reader if reads and self._reader else self._decode
            if self._encode is not None and self._encode.awaited:
                self.suspects.add(self._encode.worker)
            else:
                self.suspects.add(silent.worker)
            raise

    @property
    def _tellable(self) -> bool:
        """What is held may be given out: nothing can come any more that has to stand before it, and
        another attempt would not tell it differently. A search made again may end differently.
        """
        return self._scored and (self._job.params.beam is None or self._log.ended)

    @property
    def _scored(self) -> bool:
        wanted = self._job.params.prompt_logprobs is not None
        return not wanted or len(self.prompt_scores) == len(self._job.prompt) - 1

    def _add_scores(self, scores: PromptLogprobs) -> None:
        if scores.start != len(self.prompt_scores) + 1:
            raise InternalError("log-probabilities of the prompt came out of order")
        self.prompt_scores += scores.entries

    async def _cause_of(self, error: TransferError) -> BatonError:
        encode = self._encode if self._encode is not None and self._encode.awaited else None
        sources = [self._reader if self._reader is not self._decode else None]
        if encode is not None and not encode.over:
            sources.append(encode.leg)
        known = [leg for leg in sources if leg is not None]
        cause = await cause_of(error, self._mailbox, known, self._note_suspect, CAUSE_SECONDS)
        if encode is not None and cause is error and not self.suspects:
            self.suspects.add(encode.worker)  # or its link to the reader; others may do better
        return cause

    async def _settle_reading(self) -> None:
        """What was told of the prompt stands: nobody tells it again."""
        await self._until_admitted(CAUSE_SECONDS)
        self._reader = None

    async def _until_admitted(self, patience: float) -> None:
        """Every token is there; only a number may be missing, and none fails for want of it."""
        try:
            while self.reading.cached_tokens is None and self._reader is not None:
                leg, event = await self._mailbox.get(patience)
                if leg is self._reader:
                    self._note_reading(event)
        except BatonError as error:
            logger.info("how much of %s was cached is not known: %s", self._job.request_id, error)

    def _note_reading(self, event: LegEvent) -> None:
        """What the leg that reads the prompt tells of its cache."""
        match event:
            case Admitted():
                self.account.admitted(event)
            case PrefixPulled() if self._reader is not None:
                self.account.prefix_pulled(event, self._reader.worker)
            case ImagesPulled() if self._reader is not None:
                encoder = self._encode.worker if self._encode is not None else None
                self.account.images_pulled(event, self._reader.worker, encoder)
                if self._encode is not None:
                    self._encode.came(event)
            case Broken() | Ended():
                self._reader = None

    def _note_suspect(self, leg: Leg, event: LegEvent) -> None:
        match event:
            case Broken(RefusedError() | UnavailableError()):
                self.suspects.add(leg.worker)

    def _open_decode(self, worker: Worker) -> Leg:
        reads = self._handoff is None
        call = worker.client.generate(
            *(self._job, self.number, self._handoff, self._brought, self._metadata),
            encoded=self._encode.handoff if self._encode is not None and reads else None,
        )
        unread = self._unread if self._prefill_worker is None else 0
        leg = Leg(worker, call, self._mailbox, unread, self._claim)
        self._legs.append(leg)
        return leg

    def _digest(self, leg: Leg, event: LegEvent) -> tuple[TokenRecord, ...]:
        """The new tokens in it, if any; raises what it breaks the attempt with."""
        if isinstance(event, Tokens):
            self.writes |= leg is self._decode
            return self._log.add(event.records)
        self._note_suspect(leg, event)
        if self._encode is not None and leg is self._encode.leg:
            self._encode.hear(event)
            return ()
        reads = leg is self._reader
        if reads:
            self._note_reading(event)
        needed = not self._log.began or (reads and not self._scored)
        match event:
            case Transferred():
                self.account.transferred(event, self._handoff or self._brought)
            case PromptScored(scores):
                self._add_scores(scores)
            case Broken(error) if needed or (leg is self._decode and not self._log.ended):
                raise error
            case Ended() if leg is self._decode and not self._log.ended:
                raise InternalError("a decode worker ended its stream before the answer")
            case Ended() if (
                needed and self._job.params.beam is None
            ):  # else decode draws all tokens
                raise TransferError("the prefill worker gave the hand-off up")
        return ()


def _handoff_from(sender: WorkerInfo) -> Handoff:
    return Handoff(new_id(), new_ticket(), sender.address, sender.instance_id)
