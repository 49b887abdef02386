"""A request's life in the cluster: wait for room, place, stream, go on elsewhere when a worker breaks."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from baton.core.errors import RefusedError, UnavailableError
from gateway.admission.line import Turn
from gateway.admission.shares import Bill
from gateway.breaks import MENDABLE, Mendable, reason_of
from gateway.errors import NoRoomError, OverloadedError, TooLateError
from gateway.handles.remote_ticket import RemoteTickets
from gateway.handles.resumable import Resumable
from gateway.handles.resume_handle import ResumeHandles
from gateway.job import Job
from gateway.members.assignment import Assignment
from gateway.members.workers import Wanted, Workers
from gateway.output import Output
from gateway.placing.placement_record import PlacementHistory
from gateway.prefixes.prompt_chain import PromptChain
from gateway.serving.attempt import Attempt
from gateway.serving.branch import Branch, Told, joined
from gateway.serving.brought_kv import awaited
from gateway.serving.continuation import whole
from gateway.serving.items import Answered, Item, PromptRead, PromptScores, collected
from gateway.serving.leg import Left
from gateway.serving.mover import Mover
from gateway.serving.moves import Moves
from gateway.serving.prefill_only import HOLD_SECONDS, PrefillOnly
from gateway.serving.queue import AdmissionQueue
from gateway.serving.request_life import RequestLife
from gateway.telemetry.job_meter import JobMeter
from gateway.telemetry.metrics import ModelMetrics
from gateway.telemetry.recent_requests import RecentRequests
from gateway.telemetry.request_trace import Wait, in_line
from gateway.telemetry.trail import Trail

logger = logging.getLogger(__name__)

FINISH_SECONDS = 10.0  # for what the workers have to settle behind an answer

MakeOutput = Callable[[], Output]


class Dispatcher:
    """Many requests at a time; each is one generator or one coroutine of its caller."""

    def __init__(
        self,
        workers: Workers,
        queue: AdmissionQueue[Assignment],
        metrics: ModelMetrics,
        silence: float,
        failover_timeout: float,
        handles: ResumeHandles,
        tickets: RemoteTickets | None = None,
        history: PlacementHistory | None = None,
        recent: RecentRequests | None = None,
    ) -> None:
        """`tickets`: of KV that another router takes from here to its decode worker."""
        self._recent = recent or RecentRequests()
        self._reads = PrefillOnly(workers, queue, silence, tickets) if tickets else None
        self._handles = handles
        self._workers = workers
        self._queue = queue
        self._metrics = metrics
        self._silence = silence  # seconds
        self._failover_timeout = failover_timeout  # seconds
        self._history = history
        self._mover = Mover(workers, metrics, silence)
        self._attempts: set[Attempt] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._closed: UnavailableError | None = None

    @property
    def queued(self) -> int:
        """Requests that wait for room."""
        return len(self._queue)

    def stream(self, job: Job, output: MakeOutput) -> AsyncGenerator[Item, None]:
        """What is new, as it comes, whoever makes it. When the text has ended every choice, the
        workers are told to stop.
        """
        if job.wishes.remote_decode and self._reads is not None:
            return self._read(self._reads, job, output)
        return self._answer(job, output)

    async def _read(
        self, reads: PrefillOnly, job: Job, output: MakeOutput
    ) -> AsyncGenerator[Item, None]:
        with self._attending(job) as (turn, trail, meter):
            async with aclosing(reads.stream(job, output, turn, meter, trail)) as items:
                async for item in items:
                    yield item

    async def _answer(self, job: Job, output: MakeOutput) -> AsyncGenerator[Item, None]:
        with self._attending(job) as (turn, trail, meter):
            life = RequestLife(job, output(), turn, trail)
            digest = self._workers.model_digest
            resumable = Resumable(job, self._handles, digest, life.again)
            scored = job.params.prompt_logprobs is None
            branch = Branch(life, Moves(self._mover, life), whole(job), meter)
            with self._moving(branch.moves):
                async with self._keeping(life), aclosing(joined(branch, self._told)) as batches:
                    async for batch in batches:
                        if not scored:
                            scored = True
                            yield PromptScores(life.prompt_scores)
                        deltas = resumable.new(batch, life.output.push(batch))
                        meter.add(deltas)
                        if life.output.ended:
                            trail.finish_reasons = meter.finish_reasons
                            self._workers.learned.answers.ended(meter.tokens_per_choice)
                            reading = await life.read()
                            reading.resume = resumable.last_handle(deltas)
                            if job.trace is not None:
                                job.trace.read(reading)
                            yield PromptRead(reading)
                            yield deltas
                            return
                        yield resumable.with_handle(deltas)

    async def whole(self, job: Job, output: MakeOutput) -> Answered:
        """All of it, in one piece."""
        async with aclosing(self.stream(job, output)) as items:
            return await collected(items)

    def fail_all(self, error: UnavailableError) -> None:
        """Ends what is under way, and what comes later, with the error."""
        self._closed = error
        self._queue.close(error)
        self._workers.give_up(error)
        for attempt in self._attempts:
            attempt.fail(error)

    async def close(self) -> None:
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)

    async def _told(self, branch: Branch) -> AsyncGenerator[Told, None]:
        """New tokens of the branch's choices, from one attempt after the other, and what splits
        off from it.
        """
        life = branch.life
        while True:
            attempt = await self._attempt(branch)
            try:
                with self._held(attempt, branch):
                    async with aclosing(attempt.tokens()) as told:
                        began = False
                        async for item in told:
                            if isinstance(item, Left):
                                yield branch.left(item.choice)
                                continue
                            if not began:
                                began = True
                                life.gave(attempt)
                                branch.meter.read_since(attempt.account.admitted_at)
                                branch.meter.went_on(branch)
                            yield item
                            branch.moves.look(attempt, branch.part.choices)
                return
            except MENDABLE as error:
                self._mend(branch, attempt, error)
            await asyncio.sleep(branch.barren.pause)
            parts = life.left_of(branch.part)
            for part in parts[1:]:
                yield branch.split(part)
            if not parts:
                return
            branch.part = parts[0]

    async def _attempt(self, branch: Branch) -> Attempt:
        """The one that a move has opened, or else a new one, as soon as there is room."""
        if branch.move is not None:
            return branch.move.target
        waits_from = time.monotonic()
        with in_line(branch.life.job.trace, branch.lane) as wait:
            assignment = await self._admit(branch, wait)
        branch.meter.placed()
        branch.placed(assignment)
        attempt = branch.life.attempt(branch.part, assignment, self._silence, branch.lane)
        self._note_placement(attempt, branch.part.job)
        branch.life.trail.place(
            waits_from, time.monotonic(), attempt.reading, attempt.account.forecast
        )
        return attempt

    def _note_placement(self, attempt: Attempt, job: Job) -> None:
        if (forecast := attempt.account.forecast) is None:
            return
        self._metrics.placements.placed(forecast.decision.reason)
        if (record := job.record) is not None and self._history is not None:
            tokens = len(job.prompt) + len(job.answered)
            record.add(job.request_id, attempt.number, tokens, forecast, attempt.reading)
            self._history.note(record)

    async def _admit(self, branch: Branch, wait: Wait) -> Assignment:
        job, life = branch.part.job, branch.life
        prompt = PromptChain(
            job.prompt + job.answered,
            job.cache_salt,
            job.tenant,
            reads_cache=job.params.prompt_logprobs is None,
            images=job.spans,
        )

        wanted = Wanted(job.params, job.objectives, job.priority)

        def place() -> Assignment | None:
            wait.look()
            return self._workers.assign(prompt, life.refusals, wanted, job.wishes)

        began = asyncio.get_running_loop().time()
        try:
            with life.trail.waiting():
                return await self._queue.admit(branch.turn, place, returning=branch.returning)
        except (NoRoomError, TooLateError) as error:
            if not life.begun and job.wishes.particular and isinstance(error, TooLateError):
                raise TooLateError(
                    "No worker that kv_transfer_params leave to choose from had room in time.",
                    error.retry_after,
                ) from error
            if not life.begun:
                raise
            raise NoRoomError(
                "The answer could not go on: its worker broke off, and no other had room within "
                f"{self._failover_timeout:g} s.",
                error.retry_after,
                error.reason,
            ) from error
        finally:
            waited = asyncio.get_running_loop().time() - began
            self._metrics.tenants.queued(job.bill.tenant, waited)

    @contextmanager
    def _attending(self, job: Job) -> Iterator[tuple[Turn, Trail, JobMeter]]:
        """Whoever looks at a request from its place in the line to its end."""
        turn = self._queue.turn(
            job.priority, job.bill, job.key, job.timeout, job.wishes.lane, job.objectives.ttft
        )
        with (
            self._billed(job.bill),
            self._recent.following(job) as trail,
            self._metrics.watching(job) as meter,
        ):
            yield turn, trail, meter

    @contextmanager
    def _billed(self, bill: Bill) -> Iterator[None]:
        """The tenant's share is charged what the request has really cost."""
        try:
            yield
        except (OverloadedError, NoRoomError, TooLateError) as error:
            self._metrics.tenants.refused(bill.tenant, error.reason)
            raise
        finally:
            self._queue.shares.settle(bill, bill.read + bill.written)

    def _keeping(self, life: RequestLife) -> AbstractAsyncContextManager[None]:
        """KV that the request has brought waits with it."""
        brought = life.job.brought
        if brought is None:
            return nullcontext()
        connect = self._workers.connect
        return awaited(brought, connect, HOLD_SECONDS, lambda: life.took_brought)

    @contextmanager
    def _held(self, attempt: Attempt, branch: Branch) -> Iterator[None]:
        """Known while it runs; after it the calls settle in the background."""
        self._attempts.add(attempt)
        try:
            yield
        except BaseException as error:
            attempt.over(error)
            raise
        finally:
            attempt.over()
            self._attempts.discard(attempt)
            if attempt.account.forecast is not None:
                self._metrics.placements.ended(attempt.account.forecast)
            attempt.doubt(branch.life.refusals)
            branch.moves.stop(branch.part.choices)
            attempt.finish(FINISH_SECONDS)

    @contextmanager
    def _moving(self, moves: Moves) -> Iterator[None]:
        """As above, for all moves of a request."""
        try:
            yield
        finally:
            if moves.any:
                self._settle(moves.settle(FINISH_SECONDS))

    def _settle(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def _mend(self, branch: Branch, attempt: Attempt, error: Mendable) -> None:
        """Raises the error when the branch has no further try. Where nothing was started that costs
        no try: the turn's deadline bounds how often it can happen.
        """
        if self._closed is not None:
            raise error
        branch.returning = True
        branch.end_move()
        if isinstance(error, UnavailableError):
            for worker in attempt.suspects:
                self._workers.commons.doubt(worker.info.instance_id)
        life = branch.life
        logger.info("attempt %d of %s broke: %s", attempt.number, life.job.request_id, error)
        suspects = attempt.suspects or {attempt.decode_worker}
        names = ", ".join(sorted(worker.info.worker_id for worker in suspects))
        life.trail.met(time.monotonic(), reason_of(error), names)
        if not attempt.gave and (not attempt.reserved or isinstance(error, RefusedError)):
            return
        now = asyncio.get_running_loop().time()
        if attempt.gave:
            branch.barren.end()
        else:
            branch.barren.note(attempt.suspects, now)
        if life.broke(attempt):
            branch.meter.broke(branch, reason_of(error), attempt.phase)
        if branch.barren.hopeless(now, self._failover_timeout) or life.breaks.too_many:
            raise error
        branch.turn = self._turn_again(branch)

    def _turn_again(self, branch: Branch) -> Turn:
        if not branch.life.begun:
            return replace(branch.turn, deadline=self._queue.new_deadline(), lost_worker=True)
        deadline = asyncio.get_running_loop().time() + self._failover_timeout
        return replace(branch.turn, deadline=deadline, begun=True)
