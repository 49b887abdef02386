"""A request's life in the cluster: wait for room, place, stream, go on elsewhere when a worker breaks."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

from baton.core.errors import RefusedError, UnavailableError
from baton.core.token_record import TokenRecord
from gateway.attempt import Attempt
from gateway.breaks import MENDABLE, BarrenSpell, Mendable, reason_of
from gateway.continuation import Part, whole
from gateway.conversation import Conversation
from gateway.errors import NoRoomError
from gateway.items import Answered, Item, PromptRead, PromptScores, collected
from gateway.job import Job
from gateway.merge import Streams
from gateway.metrics import GatewayMetrics, JobMeter
from gateway.output import Output
from gateway.prompt_chain import PromptChain
from gateway.queue import AdmissionQueue, Turn
from gateway.recent_answers import RecentAnswers
from gateway.request_life import RequestLife
from gateway.workers import Assignment, Workers

logger = logging.getLogger(__name__)

FINISH_SECONDS = 10.0  # for what the workers have to settle behind an answer

Batch = tuple[TokenRecord, ...]
MakeOutput = Callable[[], Output]


class Dispatcher:
    """Many requests at a time; each is one generator or one coroutine of its caller."""

    def __init__(
        self,
        workers: Workers,
        queue: AdmissionQueue[Assignment],
        metrics: GatewayMetrics,
        silence: float,
        failover_timeout: float,
    ) -> None:
        self._workers = workers
        self._queue = queue
        self._metrics = metrics
        self._silence = silence  # seconds
        self._failover_timeout = failover_timeout  # seconds
        self._answers = RecentAnswers()
        self._attempts: set[Attempt] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._closed: UnavailableError | None = None

    @property
    def queued(self) -> int:
        """Requests that wait for room."""
        return len(self._queue)

    async def stream(self, job: Job, output: MakeOutput) -> AsyncGenerator[Item, None]:
        """What is new, as it comes, whoever makes it. When the text has ended every choice, the
        workers are told to stop.
        """
        with self._metrics.watching(job) as meter:
            life = RequestLife(job, output(), self._queue.turn(job.priority))
            scored = job.params.prompt_logprobs is None
            async with aclosing(self._made(_Branch(life, whole(job), meter))) as batches:
                async for batch in batches:
                    if not scored:
                        scored = True
                        yield PromptScores(life.prompt_scores)
                    deltas = life.output.push(batch)
                    meter.add(deltas)
                    if life.output.ended:
                        yield PromptRead(await life.read())
                        yield deltas
                        return
                    yield deltas

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

    async def _made(self, branch: "_Branch") -> AsyncGenerator[Batch, None]:
        """New tokens of the branch's choices, from one attempt after the other."""
        life = branch.life
        while True:
            assignment = await self._admit(branch)
            attempt = self._attempt(branch, assignment)
            try:
                async with self._held(attempt, life), aclosing(attempt.tokens()) as batches:
                    began = False
                    async for batch in batches:
                        if not began:
                            began = True
                            life.gave(attempt)
                        yield batch
                return
            except MENDABLE as error:
                self._mend(branch, attempt, error)
            await asyncio.sleep(branch.barren.pause)
            parts = life.left_of(branch.part)
            if len(parts) != 1:
                break
            branch.part = parts[0]
        async with aclosing(self._side_by_side(branch, parts)) as batches:
            async for batch in batches:
                yield batch

    def _attempt(self, branch: "_Branch", assignment: Assignment) -> Attempt:
        part = branch.part
        conversation = Conversation(
            part.job, assignment.decode.info, self._answers, self._workers.candidates
        )
        return branch.life.attempt(part, assignment, self._silence, conversation)

    async def _side_by_side(
        self, branch: "_Branch", parts: Sequence[Part]
    ) -> AsyncGenerator[Batch, None]:
        """Choices that each go on where there is room. One that the reader's text has ended is
        stopped, or not placed any more.
        """
        sources = [partial(self._made, branch.for_part(part)) for part in parts]
        async with Streams(sources) as streams:
            async for index, batch in streams:
                yield batch
                if all(map(branch.life.output.has_ended, parts[index].choices)):
                    streams.stop(index)

    async def _admit(self, branch: "_Branch") -> Assignment:
        job, life = branch.part.job, branch.life
        prompt = PromptChain(
            job.prompt + job.answered,
            job.cache_salt,
            job.tenant,
            reads_cache=job.params.prompt_logprobs is None,
        )

        def place() -> Assignment | None:
            return self._workers.assign(prompt, life.refusals)

        try:
            return await self._queue.admit(branch.turn, place, returning=branch.returning)
        except NoRoomError as error:
            if not life.begun:
                raise
            raise NoRoomError(
                "The answer could not go on: its worker broke off, and no other had room within "
                f"{self._failover_timeout:g} s.",
                error.retry_after,
            ) from error

    @asynccontextmanager
    async def _held(self, attempt: Attempt, life: RequestLife) -> AsyncIterator[None]:
        """Known while it runs; after it the calls settle in the background."""
        self._attempts.add(attempt)
        try:
            yield
        finally:
            self._attempts.discard(attempt)
            attempt.doubt(life.refusals)
            task = asyncio.create_task(attempt.finish(FINISH_SECONDS))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    def _mend(self, branch: "_Branch", attempt: Attempt, error: Mendable) -> None:
        """Raises the error when the branch has no further try. Where nothing was started that costs
        no try: the turn's deadline bounds how often it can happen.
        """
        if self._closed is not None:
            raise error
        branch.returning = True
        life = branch.life
        logger.info("%s: attempt %d broke: %s", life.job.request_id, attempt.number, error)
        if not attempt.gave and (not attempt.reserved or isinstance(error, RefusedError)):
            return
        now = asyncio.get_running_loop().time()
        if attempt.gave:
            branch.barren.end()
        else:
            branch.barren.note(attempt.suspects, now)
        another = life.broke(attempt)
        if branch.barren.hopeless(now, self._failover_timeout) or life.breaks.too_many:
            raise error
        if another:
            branch.meter.failed_over(reason_of(error))
        branch.turn = self._turn_again(branch)

    def _turn_again(self, branch: "_Branch") -> Turn:
        if not branch.life.begun:
            return replace(branch.turn, deadline=self._queue.new_deadline())
        deadline = asyncio.get_running_loop().time() + self._failover_timeout
        return replace(branch.turn, deadline=deadline, begun=True)


class _Branch:
    """Choices of one request that are answered by the same attempts. A request begins with one
    branch, and goes on with one per choice.
    """

    def __init__(self, life: RequestLife, part: Part, meter: JobMeter) -> None:
        self.life = life
        self.part = part
        self.meter = meter
        self.turn = life.turn
        self.returning = False  # it was placed before
        self.barren = BarrenSpell()

    def for_part(self, part: Part) -> "_Branch":
        """Of some of its choices: it waits from the same moment on."""
        branch = _Branch(self.life, part, self.meter)
        branch.turn, branch.returning = self.turn, True
        return branch
