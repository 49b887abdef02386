"""A request's life in the cluster: wait for room, place, stream, place again when a worker breaks."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from baton.core.errors import InternalError, RefusedError, TransferError, UnavailableError
from baton.core.token_record import TokenLogprobs
from gateway.attempt import Attempt
from gateway.job import Job
from gateway.metrics import GatewayMetrics, JobMeter
from gateway.output import Delta, Output
from gateway.queue import AdmissionQueue, Turn
from gateway.reading import Reading
from gateway.refusals import Refusals
from gateway.workers import Assignment, Workers

logger = logging.getLogger(__name__)

MOST_BREAKS = 3  # attempts that may break under one request
FINISH_SECONDS = 10.0  # for what the workers have to settle behind an answer

Deltas = list[Delta]
MakeOutput = Callable[[], Output]  # one per attempt: a new one begins the answer anew


@dataclass(frozen=True, slots=True)
class PromptRead:
    """Before the last tokens of a stream: how the prompt was read."""

    reading: Reading


@dataclass(frozen=True, slots=True)
class PromptScores:
    """The first item of a stream that asks for them: log-probabilities of the prompt's tokens,
    from the second on.
    """

    entries: tuple[TokenLogprobs, ...]


Item = PromptScores | Deltas | PromptRead


@dataclass(frozen=True, slots=True)
class Answered:
    """A stream in one piece."""

    deltas: Deltas
    reading: Reading
    prompt_scores: tuple[TokenLogprobs, ...] = ()


class Dispatcher:
    """Many requests at a time; each is one generator or one coroutine of its caller."""

    def __init__(
        self,
        workers: Workers,
        queue: AdmissionQueue[Assignment],
        metrics: GatewayMetrics,
        silence: float,
    ) -> None:
        self._workers = workers
        self._queue = queue
        self._metrics = metrics
        self._silence = silence  # seconds
        self._attempts: set[Attempt] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._closed: UnavailableError | None = None

    @property
    def queued(self) -> int:
        """Requests that wait for room."""
        return len(self._queue)

    async def stream(self, job: Job, output: MakeOutput) -> AsyncGenerator[Item, None]:
        """What is new, as it comes. Placed again as long as nothing was given out."""
        with self._metrics.watching(job) as meter:
            life = _Life(job, output, self._queue.turn(job.priority))
            while True:
                given = False
                try:
                    async with aclosing(self._attempt(life, meter)) as items:
                        async for item in items:
                            given = True
                            yield item
                    return
                except (RefusedError, UnavailableError, TransferError) as error:
                    if given:
                        raise
                    self._place_again(life, error)

    async def whole(self, job: Job, output: MakeOutput) -> Answered:
        """All of it. Nothing was given out before, so any break can be mended."""
        with self._metrics.watching(job) as meter:
            life = _Life(job, output, self._queue.turn(job.priority))
            while True:
                try:
                    async with aclosing(self._attempt(life, meter)) as items:
                        return await _collected(items)
                except (RefusedError, UnavailableError, TransferError) as error:
                    self._place_again(life, error)

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

    async def _attempt(self, life: "_Life", meter: JobMeter) -> AsyncGenerator[Item, None]:
        """One placement, from waiting for room to the last token that counts: when the text has
        ended every choice, the workers are told to stop.
        """
        assignment = await self._admit(life)
        life.attempts += 1
        meter.restart()
        attempt = Attempt(life.job, life.attempts, assignment, self._silence)
        output = life.output()
        async with self._held(attempt):
            try:
                async with aclosing(attempt.tokens()) as batches:
                    scored = life.job.params.prompt_logprobs is None
                    async for batch in batches:
                        if not scored:
                            scored = True
                            yield PromptScores(attempt.prompt_scores)
                        deltas = output.push(batch)
                        meter.add(deltas)
                        if output.ended:
                            attempt.enough()
                            yield PromptRead(await attempt.read())
                        yield deltas
            finally:
                if attempt.suspect is not None:
                    life.refusals.note(attempt.suspect)

    async def _admit(self, life: "_Life") -> Assignment:
        def place() -> Assignment | None:
            return self._workers.assign(len(life.job.prompt), life.refusals)

        life.placing = True
        assignment = await self._queue.admit(life.turn, place, returning=life.attempts > 0)
        life.placing = False
        return assignment

    @asynccontextmanager
    async def _held(self, attempt: Attempt) -> AsyncIterator[None]:
        """Known while it runs; after it the calls settle in the background."""
        self._attempts.add(attempt)
        try:
            yield
        finally:
            self._attempts.discard(attempt)
            task = asyncio.create_task(attempt.finish(FINISH_SECONDS))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    def _place_again(
        self, life: "_Life", error: RefusedError | UnavailableError | TransferError
    ) -> None:
        """Raises the error when the request has no further try. A refusal costs no try: nothing
        was started, and the turn's deadline bounds how often it can happen."""
        if life.placing or self._closed is not None:
            raise error
        if not isinstance(error, RefusedError):
            life.breaks += 1
            if life.breaks >= MOST_BREAKS:
                raise error
            life.turn = replace(life.turn, deadline=self._queue.new_deadline())
        logger.info("%s: attempt %d failed: %s", life.job.request_id, life.attempts, error)


async def _collected(items: AsyncIterator[Item]) -> Answered:
    deltas: Deltas = []
    reading: Reading | None = None
    scores: tuple[TokenLogprobs, ...] = ()
    async for item in items:
        match item:
            case PromptRead():
                reading = item.reading
            case PromptScores():
                scores = item.entries
            case _:
                deltas += item
    if reading is None:
        raise InternalError("a stream of tokens ended before its answer")
    return Answered(deltas, reading, scores)


class _Life:
    """What one request has behind it."""

    def __init__(self, job: Job, output: MakeOutput, turn: Turn) -> None:
        self.job = job
        self.output = output
        self.turn = turn
        self.attempts = 0
        self.breaks = 0
        self.placing = False  # waiting for room: its errors are final
        self.refusals = Refusals()
