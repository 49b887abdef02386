"""Where running choices go when their decode worker drains, and how many go at once."""

from collections import Counter
from functools import partial

from baton.core.handoff import Handoff, new_id, new_ticket
from gateway.members.worker import Worker
from gateway.members.workers import Workers
from gateway.serving.attempt import Attempt
from gateway.serving.continuation import Part
from gateway.serving.move import Move
from gateway.serving.request_life import RequestLife
from gateway.telemetry.metrics import ModelMetrics
from gateway.telemetry.move_result import MoveResult

AT_ONCE = 4  # away from one worker, which decodes on meanwhile; the others' turn comes


class Mover:
    """One for the gateway."""

    def __init__(
        self,
        workers: Workers,
        metrics: ModelMetrics,
        silence: float,
    ) -> None:
        self._workers = workers
        self._metrics = metrics
        self._silence = silence  # seconds
        self._under_way: Counter[Worker] = Counter()  # by the worker that they leave

    def move(self, life: RequestLife, source: Attempt, choice: int, part: Part) -> Move | None:
        """`part` is what is left to do of the choice. None: not now."""
        worker = source.decode_worker
        if self._under_way[worker] >= AT_ONCE or part.job.params.beam is not None:
            return None
        known_tokens = len(part.job.prompt) + len(part.job.answered)
        assignment = self._workers.assign_refuge(
            worker, known_tokens, life.refusals, part.job.wishes, part.job.priority
        )
        if assignment is None:
            return None
        handoff = Handoff(new_id(), new_ticket(), worker.info.address, worker.info.instance_id)
        lane = life.new_lane()
        target = life.attempt(part, assignment, self._silence, lane, handoff)
        self._under_way[worker] += 1
        return Move(source, choice, target, handoff, partial(self._over, life, worker, target))

    def _over(
        self, life: RequestLife, worker: Worker, target: Attempt, result: MoveResult | None
    ) -> None:
        self._under_way[worker] -= 1
        if not self._under_way[worker]:
            del self._under_way[worker]
        if result is not None:
            self._metrics.moves[result].inc()
        if result is MoveResult.REFUSED:
            target.doubt(life.refusals)
