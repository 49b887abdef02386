"""Reads a prompt for a decode worker that another router chooses: the KV waits where it was computed."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

from baton.core.errors import BatonError, TransferError
from baton.core.handoff import Handoff, new_id, new_ticket
from baton.core.token_record import FinishReason, TokenLogprobs, TokenRecord
from baton.telemetry.call_trace import failure_of
from gateway.admission.line import Turn
from gateway.call_events import Admitted, PromptScored, Tokens
from gateway.handles.remote_ticket import RemoteTickets, Waiting, prompt_digest
from gateway.job import Job
from gateway.members.assignment import Assignment
from gateway.members.worker import Worker
from gateway.members.workers import Workers
from gateway.output import Output
from gateway.prefixes.prompt_chain import PromptChain
from gateway.reading import Reading
from gateway.serving.items import Item, PromptRead, PromptScores
from gateway.serving.leg import Broken, Ended, Leg, Letters
from gateway.serving.mailbox import Mailbox
from gateway.serving.queue import AdmissionQueue
from gateway.telemetry.job_meter import JobMeter
from gateway.telemetry.request_trace import in_line
from gateway.telemetry.trail import Trail

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane

logger = logging.getLogger(__name__)

MAILBOX_SIZE = 256
HOLD_SECONDS = 30.0  # that the blocks wait from one word to the next
ABORT_SECONDS = 1.0


class PrefillOnly:
    """Nothing is tried again: the other router decides where."""

    def __init__(
        self,
        workers: Workers,
        queue: AdmissionQueue[Assignment],
        silence: float,
        tickets: RemoteTickets,
    ) -> None:
        self._workers = workers
        self._queue = queue
        self._silence = silence  # seconds
        self._tickets = tickets

    async def stream(
        self, job: Job, output: Callable[[], Output], turn: Turn, meter: JobMeter, trail: Trail
    ) -> AsyncGenerator[Item, None]:
        """An answer of one token, and with it where the KV waits, unless that token ended it."""
        prompt = PromptChain(job.prompt, job.cache_salt, job.tenant, images=job.spans)
        lane = None if job.trace is None else job.trace.lane(job)
        waits_from = time.monotonic()
        with trail.waiting(), in_line(job.trace, lane) as wait:

            def place() -> Assignment | None:
                wait.look()
                return self._workers.assign_reader(prompt)

            assignment = await self._queue.admit(turn, place)
        if lane is not None:
            lane.phase("placement")
        meter.placed()
        info = assignment.decode.info
        handoff = Handoff(new_id(), new_ticket(), info.address, info.instance_id)
        waits = False
        try:
            read = _Read(job, assignment, handoff, lane)
            trail.place(waits_from, time.monotonic(), read.reading)
            records = await read.records(self._silence)
            if job.trace is not None:
                job.trace.read(read.reading)
            meter.read_since(read.admitted_at)
            deltas = output().push(records)
            meter.add(deltas)
            waits = records[0].finish_reason is not FinishReason.STOP
            if waits:
                blocks = info.fingerprint.layout.blocks_for(len(job.prompt))
                waiting = Waiting(handoff, prompt_digest(job), len(job.prompt), blocks)
                read.reading.remote = self._tickets.told(waiting, job.tenant)
            if job.params.prompt_logprobs is not None:
                yield PromptScores(read.scores)
            yield PromptRead(read.reading)
            yield deltas
        finally:
            if not waits:
                await _abort(assignment.decode, handoff)


class _Read:
    def __init__(
        self, job: Job, assignment: Assignment, handoff: Handoff, lane: "Lane | None"
    ) -> None:
        worker = assignment.decode
        self._mailbox: Letters = Mailbox(MAILBOX_SIZE)
        self._lane = lane
        metadata = () if lane is None else lane.open("attempt").metadata()
        call = worker.client.prefill(job, 1, handoff, None, hold=HOLD_SECONDS, metadata=metadata)
        self._leg = Leg(worker, call, self._mailbox, assignment.unread)
        self._admitted = assignment.admitted
        self.reading = Reading(None, worker.info.worker_id)
        self.admitted_at: float | None = None  # `time.monotonic` seconds
        self.scores: tuple[TokenLogprobs, ...] = ()

    async def records(self, silence: float) -> tuple[TokenRecord, ...]:
        """The first token. Raises what the call breaks with."""
        failure: BaseException | None = None
        try:
            while True:
                _, event = await self._mailbox.get(silence)
                match event:
                    case Admitted(num_cached_tokens, kv_number):
                        self.admitted_at = time.monotonic()
                        self.reading.cached_tokens = num_cached_tokens
                        self._admitted(num_cached_tokens, kv_number)
                    case PromptScored(scores):
                        self.scores += scores.entries
                    case Tokens(records):
                        return records
                    case Broken(error):
                        raise error
                    case Ended():
                        raise TransferError("the prefill worker gave the prompt up")
        except BaseException as error:
            failure = error
            raise
        finally:
            if self._lane is not None:
                self._lane.shut(error=failure_of(failure))
            self._mailbox.shut()
            self._leg.cancel()  # from here on nobody's stream owns the lease


async def _abort(worker: Worker, handoff: Handoff) -> None:
    """Nobody will come for it."""
    try:
        async with asyncio.timeout(ABORT_SECONDS):
            await worker.client.abort(handoff, "nobody decodes this prompt")
    except (BatonError, TimeoutError) as error:
        logger.info("transfer %s: its blocks wait for their time: %s", handoff.transfer_id, error)
