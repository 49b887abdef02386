"""One simulated request: admitted and placed by the gateway's code, then read, moved and written."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from baton.cluster.outcomes import Fate, Outcome
from baton.cluster.simulator.prompt import TracePrompt
from baton.cluster.simulator.worker import Lease, SimulatedWorker
from baton.core.sampling_params import SamplingParams
from gateway.admission.line import Turn
from gateway.errors import NoRoomError, OverloadedError, TooLateError
from gateway.members.assignment import Assignment
from gateway.members.workers import Wanted, Workers
from gateway.placing.objectives import Objectives
from gateway.placing.refusals import Refusals
from gateway.serving.queue import AdmissionQueue
from gateway.tenants.visit import Desk, Visit


@dataclass(frozen=True, slots=True)
class Gateway:
    """The parts of one that decide."""

    workers: Workers
    queue: AdmissionQueue[Assignment]
    desk: Desk
    simulated: dict[str, SimulatedWorker]  # by instance id


class Request:
    def __init__(
        self,
        gateway: Gateway,
        number: int,
        prompt: TracePrompt,
        output_tokens: int,
        objectives: Objectives,
        visit: Visit,
        priority: int,
        outcome: Outcome,
        begin: float,
    ) -> None:
        """`begin`: of the run, on the loop's clock. The visit is ended here."""
        self._gateway = gateway
        self._rank = (priority, number)
        self._prompt = prompt
        self._output = output_tokens
        params = SamplingParams(output_tokens, 0, ignore_eos=True)
        self._wanted = Wanted(params, objectives, priority)
        self._visit = visit
        self._bill = visit.bill(len(prompt), params.n, params.max_tokens)
        self._outcome = outcome
        self._begin = begin
        self._refusals = Refusals()

    async def run(self) -> None:
        outcome, queue, bill = self._outcome, self._gateway.queue, self._bill
        outcome.sent = self._now()
        try:
            await self._visit.admit([bill])
            wanted = self._wanted
            await self._answered(queue.turn(wanted.priority, bill, ttft=wanted.objectives.ttft))
            outcome.fate = Fate.DONE
            outcome.output_tokens = self._output
        except (OverloadedError, NoRoomError, TooLateError) as error:
            outcome.fate, outcome.refusals, outcome.error = Fate.REFUSED, 1, str(error)
            outcome.retry_after, outcome.reason = float(error.retry_after), error.reason.value
        finally:
            queue.shares.settle(bill, bill.read + bill.written)
            self._visit.end()
        outcome.ended = self._now()

    async def _answered(self, turn: Turn) -> None:
        returning = False
        while True:
            assignment = await self._gateway.queue.admit(turn, self._place, returning)
            decode = self._worker(assignment.decode.info.instance_id)
            await asyncio.sleep(decode.profile.call_seconds)
            lease = decode.take(self._prompt.strides, len(self._prompt) + self._output)
            if lease is not None:
                assignment.decode.has_left(decode.room(), assignment.claim)
                break
            if assignment.claim is not None:
                assignment.decode.has_refused(assignment.claim)
            assignment.decode.give_back(False, 0 if assignment.prefill else assignment.unread)
            if assignment.prefill is not None:
                assignment.prefill.give_back(False, assignment.unread)
            self._refusals.note(assignment.decode)
            returning = True
        if assignment.prefill is None:
            await self._alone(assignment, decode, lease)
        else:
            await self._relayed(assignment, decode, lease)
        decode.release(lease, written=True)
        room = decode.room()
        await asyncio.sleep(decode.profile.call_seconds)
        assignment.decode.has_left(room)
        assignment.decode.give_back()
        self._gateway.workers.learned.answers.ended(self._output)

    def _place(self) -> Assignment | None:
        return self._gateway.workers.assign(self._prompt, self._refusals, self._wanted)

    async def _alone(self, assignment: Assignment, decode: SimulatedWorker, lease: Lease) -> None:
        self._admitted(assignment, decode, lease)
        await decode.read(lease, len(self._prompt), self._rank)
        await self._first_token(assignment, assignment.decode.has_read, decode)
        await self._write(assignment, decode)

    async def _relayed(self, assignment: Assignment, decode: SimulatedWorker, lease: Lease) -> None:
        assert assignment.prefill is not None
        prefill = self._worker(assignment.prefill.info.instance_id)
        await asyncio.sleep(prefill.profile.call_seconds)
        source = await prefill.taken(self._prompt.strides, len(self._prompt))
        self._admitted(assignment, prefill, source)
        began = self._now()
        await prefill.read(source, len(self._prompt), self._rank)
        moving = asyncio.create_task(self._move(assignment, prefill, decode, source, lease, began))
        await self._first_token(assignment, assignment.prefill.has_read, prefill)
        await moving
        if assignment.forecast is not None:
            moved, exposed = moving.result()
            assignment.forecast.transferred(moved, exposed, self._now())
        await self._write(assignment, decode)

    async def _move(
        self,
        assignment: Assignment,
        prefill: SimulatedWorker,
        decode: SimulatedWorker,
        source: Lease,
        target: Lease,
        began: float,
    ) -> tuple[int, float]:
        """What prefill had cached moves at once, the rest as it is computed, chunk by chunk. Bytes,
        and seconds behind the end of prefill.
        """
        profile, ended = prefill.profile, self._now()
        tokens = len(self._prompt) - target.cached
        chunk = min(tokens, profile.max_num_batched_tokens)
        per_second = profile.link_bytes_per_second / profile.token_bytes
        late = began + tokens / per_second - ended
        exposed = profile.link_seconds + max(chunk / per_second, late)
        await asyncio.sleep(exposed)
        decode.arrived(target)
        prefill.release(source)
        assert assignment.prefill is not None
        assignment.prefill.give_back()
        return round(tokens * profile.token_bytes), exposed

    def _admitted(self, assignment: Assignment, reader: SimulatedWorker, lease: Lease) -> None:
        self._outcome.cached_tokens = lease.cached
        if assignment.forecast is not None:
            assignment.forecast.actual.cached_tokens = lease.cached
        assignment.admitted(lease.cached, reader.cache.number)

    async def _first_token(
        self, assignment: Assignment, has_read: Callable[[int], None], reader: SimulatedWorker
    ) -> None:
        self._outcome.first = self._outcome.last = self._now() + reader.profile.call_seconds
        await asyncio.sleep(reader.profile.call_seconds)
        has_read(assignment.unread)
        self._bill.read, self._bill.written = len(self._prompt), 1
        if assignment.forecast is not None:
            assignment.forecast.told(1, time.monotonic())

    async def _write(self, assignment: Assignment, decode: SimulatedWorker) -> None:
        outcome, left = self._outcome, self._output - 1
        if not left:
            return
        assert outcome.last is not None
        last = outcome.last + self._begin
        await decode.write(left, len(self._prompt) + 1, last, outcome.gaps, self._rank)
        outcome.last = self._now()
        self._bill.written += left
        if assignment.forecast is not None:
            assignment.forecast.told(left, time.monotonic())

    def _worker(self, instance_id: str) -> SimulatedWorker:
        return self._gateway.simulated[instance_id]

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._begin
