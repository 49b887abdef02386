"""What was asked of each role between two observations, in workers. Pure."""

import math
from dataclasses import dataclass

from baton.cluster.planner.goals import Goals
from baton.cluster.planner.observation import Costs, Observation, SeenWorker
from baton.core.step_totals import StepSums
from baton.core.worker_info import Role

MOST_BUSY = 0.85  # share of its time that a worker is to work at most, whatever the goal
LEAST_BUSY = 0.3
LINE = math.log(10)  # nine of ten wait at most so many mean times, in a line with one server
FULL = 0.9  # of a KV pool
LATE = 0.1  # share of answers that may be late before something is done
FEW = 10  # answers that say nothing yet


@dataclass(frozen=True, slots=True)
class Need:
    """`workers` is no whole number: how sure the count is, is in it."""

    workers: float
    why: str


@dataclass(frozen=True, slots=True)
class Work:
    """Of the workers of one role, between two observations."""

    seconds: float
    reading: StepSums
    writing: StepSums

    @property
    def busy(self) -> float:
        """Workers' worth of steps."""
        return (self.reading.seconds + self.writing.seconds) / self.seconds


def work_of(role: Role, before: Observation, now: Observation) -> Work:
    """Of workers that both have seen, as the same process."""
    known = {worker.worker_id: worker for worker in before.workers}
    reading, writing = StepSums(), StepSums()
    for worker in now.workers:
        earlier = known.get(worker.worker_id)
        if worker.role is role and earlier is not None and earlier.process == worker.process:
            reading = reading.plus(worker.steps.reading.minus(earlier.steps.reading))
            writing = writing.plus(worker.steps.writing.minus(earlier.steps.writing))
    return Work(now.at - before.at, reading, writing)


def prefill_need(before: Observation, now: Observation, goals: Goals) -> Need:
    """Workers that read what is asked, at no more than that share of their time at which nine of ten
    first tokens come within the goal (a line with one server each, which is on the safe side), and what
    has piled up within the goal as well.
    """
    work, pool = work_of(Role.PREFILL, before, now), now.of(Role.PREFILL)
    share, told = _busy_share(work, before, now, goals)
    piled_up = _piled_up(pool, goals.ttft)
    workers = work.busy / share + piled_up
    why = f"prompts take {work.busy:.2f} workers' time, {told}"
    if piled_up >= 0.5:
        why += f"; what waits to be read takes {piled_up:.1f} more"
    late = now.ttft.since(before.ttft)
    if goals.ttft is not None and late.total >= FEW and late.late(goals.ttft) > LATE:
        why += f"; {late.late(goals.ttft):.0%} of the first tokens came late"
        if work.busy > 0.5 * share * len(pool) and pool:
            workers = max(workers, len(pool) + 0.5)
    return Need(workers, why)


def decode_need(
    before: Observation, now: Observation, goals: Goals, places: int | None = None
) -> Need:
    """Workers that write so many tokens per second in steps no longer than the goal, read the prompts
    that they read themselves, hold the KV of all answers, and have `places` for requests, if it was
    seen how many they have.
    """
    work, pool = work_of(Role.DECODE, before, now), now.of(Role.DECODE)
    tokens = (work.writing.sequences + work.reading.sequences) / work.seconds
    most = _most_tokens(work, pool, goals.itl)
    reading = work.reading.seconds / work.seconds
    workers = (tokens / most if most else 0.0) + reading / MOST_BUSY
    why = f"{tokens:.0f} tokens per second, of {most:.0f} that one worker writes in time"
    if reading >= 0.1:
        why += f", and {reading:.2f} workers' time to read prompts"
    held = _held(pool)
    if held > workers:
        workers, why = held, f"the KV of what runs fills {held * FULL:.2f} workers' pools"
    busy = sum(worker.busy for worker in pool)
    if places is not None and busy / (FULL * places) > workers:
        workers, why = busy / (FULL * places), f"{busy} requests, and a worker takes {places}"
    short = [_late(before, now, goals), _waiting(now, pool)]
    for reason in filter(None, short):
        workers = max(workers, len(pool) + 0.5)
        why += f"; {reason}"
    return Need(workers, why)


def _busy_share(
    work: Work, before: Observation, now: Observation, goals: Goals
) -> tuple[float, str]:
    prompts = now.ttft.since(before.ttft).total
    if goals.ttft is None or not prompts or not work.reading.seconds:
        return MOST_BUSY, f"of which each may be busy {MOST_BUSY:.0%}"
    one = work.reading.seconds / prompts
    share = min(MOST_BUSY, max(LEAST_BUSY, 1 - LINE * one / goals.ttft))
    return share, f"each may be busy {share:.0%}, for one prompt takes {one * 1e3:.0f} ms"


def _piled_up(pool: list[SeenWorker], ttft: float | None) -> float:
    """Workers that read within the goal what waits, beyond one prompt each."""
    waits = [
        worker.unread_tokens * worker.costs.unread_token
        for worker in pool
        if worker.costs is not None and worker.busy > 1
    ]
    return sum(waits) / max(ttft or 0.0, 1.0)


def _most_tokens(work: Work, pool: list[SeenWorker], itl: float | None) -> float:
    """Per second, of one worker. A step takes `step` + n x `each`, for n tokens: so at x tokens per
    second it takes `step` / (1 - x `each`), which is to be within the goal.
    """
    costs = _mean([worker.costs for worker in pool if worker.costs is not None])
    sequences = work.writing.sequences + work.reading.sequences
    if costs is None or not sequences:
        return 0.0
    context = (work.writing.context_tokens + work.reading.context_tokens) / sequences
    each = max(costs.sequence + context * costs.context, 1e-9)
    if itl is None:
        return MOST_BUSY / each
    return MOST_BUSY * max(0.05, 1 - costs.step / itl) / each


def _mean(costs: list[Costs]) -> Costs | None:
    if not costs:
        return None
    count = len(costs)
    return Costs(
        sum(one.step for one in costs) / count,
        sum(one.sequence for one in costs) / count,
        sum(one.context for one in costs) / count,
        sum(one.unread_token for one in costs) / count,
    )


def _held(pool: list[SeenWorker]) -> float:
    blocks = [worker.total_blocks for worker in pool if worker.total_blocks]
    if not blocks:
        return 0.0
    return sum(worker.used_blocks for worker in pool) / (FULL * sum(blocks) / len(blocks))


def _late(before: Observation, now: Observation, goals: Goals) -> str | None:
    times = now.itl.since(before.itl)
    if goals.itl is None or times.total < FEW or times.late(goals.itl) <= LATE:
        return None
    return f"{times.late(goals.itl):.0%} of the tokens came late"


def places_seen(now: Observation) -> int | None:
    """Requests that the fullest decode worker has while others wait for room; None: none do."""
    pool = now.of(Role.DECODE)
    waits = _waiting(now, pool) is not None
    return (
        max((worker.busy - worker.waiting for worker in pool), default=0) or None if waits else None
    )


def _waiting(now: Observation, pool: list[SeenWorker]) -> str | None:
    """A line at the gateway is there because no decode worker has room."""
    waiting = now.queued + sum(worker.waiting for worker in pool)
    return f"{waiting} requests wait for room" if waiting > len(pool) else None
