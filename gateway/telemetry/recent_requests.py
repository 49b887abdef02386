"""What this gateway does now and did lately, prompt by prompt, for the status page."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice

from baton.core.errors import BatonError
from gateway.errors import INTERNAL, OverloadedError, reply_to
from gateway.job import Job
from gateway.telemetry.trail import Phase, Trail

KEPT = 200  # of those that have ended
MOST_SHOWN = 50
MOST_OPEN_SHOWN = 30  # of them, those that have not ended


@dataclass(frozen=True, slots=True)
class PriorityCount:
    priority: int
    queued: int
    running: int


class RecentRequests:
    """All that run or wait, and the latest of those that have ended. Who was sent away because the line
    is full is only counted: under overload there would be nothing else to see.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._open: dict[int, Trail] = {}
        self._ended: deque[Trail] = deque(maxlen=kept)
        self._numbers = count(1)
        self.refused = 0

    @contextmanager
    def following(self, job: Job) -> Iterator[Trail]:
        """While the job is answered, or waits."""
        trail = self._begin(job)
        outcome, error, sent_away = Phase.FAILED, INTERNAL.message, False
        try:
            yield trail
            outcome, error = Phase.DONE, ""
        except (asyncio.CancelledError, GeneratorExit):
            outcome, error = Phase.ABORTED, ""
            raise
        except BatonError as broken:
            error = reply_to(broken).message
            sent_away = isinstance(broken, OverloadedError)
            raise
        finally:
            del self._open[trail.number]
            trail.end(time.monotonic(), outcome, error)
            if sent_away and not trail.placed:
                self.refused += 1
            else:
                self._ended.append(trail)

    def by_priority(self) -> list[PriorityCount]:
        """Those that have not ended, the most urgent first."""
        queued, running = Counter[int](), Counter[int]()
        for trail in self._open.values():
            (queued if trail.phase is Phase.QUEUED else running)[trail.priority] += 1
        return [
            PriorityCount(priority, queued[priority], running[priority])
            for priority in sorted(queued.keys() | running.keys())
        ]

    def shown(self, root: str) -> list[Trail]:
        """Of one API key, the newest first: of those that have not ended a part at most, so that
        there is always something to learn from.
        """
        open = islice((t for t in reversed(self._open.values()) if t.root == root), MOST_OPEN_SHOWN)
        found = [*open]
        ended = (t for t in reversed(self._ended) if t.root == root)
        found += islice(ended, MOST_SHOWN - len(found))
        return sorted(found, key=lambda trail: -trail.number)

    def _begin(self, job: Job) -> Trail:
        now = time.monotonic()
        began = now if job.asked_at is None else job.asked_at
        trail = Trail(
            next(self._numbers),
            job.record.request_id if job.record is not None else job.request_id,
            job.record.model if job.record is not None else "",
            job.tenant,
            job.priority,
            len(job.prompt),
            job.params.n,
            job.bill,
            began,
            time.time() - (now - began),
        )
        self._open[trail.number] = trail
        return trail
