"""What one prompt leaves on the metrics page."""

import time
from collections.abc import Sequence

from gateway.job import Job
from gateway.output import Delta
from gateway.telemetry.request_metrics import (
    ABANDONED,
    ABORT,
    DECODE,
    ERROR,
    FAILED,
    PREFILL,
    QUEUE,
    RESUMED,
    RequestMetrics,
)

OTHER_REASONS = {"tool_calls": "stop"}  # finish reasons that the engine does not know
COUNT_SECONDS = 1.0  # between two times that a stream's tokens are counted: many cost as one
_RESULTS = {ABORT: ABANDONED, ERROR: FAILED}  # of what broke and did not go on, by the request's


class JobMeter:
    """What is given out counts, once. How choices ended is counted at the end. Times are seconds of
    `time.monotonic`.
    """

    def __init__(self, metrics: RequestMetrics, job: Job) -> None:
        self._metrics = metrics
        self._job = job
        self._start = time.monotonic() if job.asked_at is None else job.asked_at
        self._placed = False
        self._read_since: float | None = None
        self._first: float | None = None
        self._firsts: dict[int, float] = {}  # choice -> when its first token came
        self._latest: dict[int, float] = {}  # choice -> when its last token came
        self._counts: dict[int, int] = {}
        self._reasons: dict[int, str] = {}  # choice -> why it ended
        self._broken: dict[object, list[tuple[str, str]]] = {}  # (reason, phase), by branch
        self._uncounted = 0  # tokens, on no page yet
        self._gaps: list[float] = []  # seconds before each of them but the first ones, likewise
        self._count_at = time.monotonic() + COUNT_SECONDS

    def placed(self) -> None:
        """Workers had room for it."""
        self._placed = True

    def read_since(self, at: float | None) -> None:
        """When those who give its first tokens began to read its prompt; None: they have not told."""
        if self._first is None:
            self._read_since = at

    def add(self, deltas: Sequence[Delta]) -> None:
        """Of one step, one per choice."""
        now = time.monotonic()
        if self._first is None:
            self._begin(now)
        written = 0
        for delta in deltas:
            written += self._add_choice(delta, now)
        self._job.bill.written += written
        self._uncounted += written
        if now >= self._count_at:
            self._count(now)

    @property
    def tokens_per_choice(self) -> float:
        """Given out so far, on the average."""
        return sum(self._counts.values()) / self._job.params.n

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """Of the choices that have ended, in their order."""
        return tuple(self._reasons[choice] for choice in sorted(self._reasons))

    def broke(self, branch: object, reason: str, phase: str) -> None:
        """Something broke under a branch of it."""
        self._broken.setdefault(branch, []).append((reason, phase))

    def went_on(self, branch: object) -> None:
        """The branch has tokens again."""
        self._tell_broken(branch, RESUMED)

    def end(self, unfinished: str) -> None:
        """`unfinished`: why choices without a last token ended."""
        self._count(time.monotonic())
        metrics, choices = self._metrics, range(self._job.params.n)
        for choice in choices:
            metrics.ended[self._reasons.get(choice, unfinished)].inc()
        metrics.n.observe(len(choices))
        metrics.max_tokens.observe(self._job.params.max_tokens)
        for count in self._counts.values():
            metrics.generation.observe(count)
        if self._counts:
            metrics.most_generation.observe(max(self._counts.values()))
        if len(self._reasons) == len(choices):
            self._end_whole()
        elif unfinished == ABORT:
            metrics.aborted[self._phase].inc()
        for branch in tuple(self._broken):
            self._tell_broken(branch, _RESULTS.get(unfinished, RESUMED))
        if self._job.trace is not None:
            reasons = [self._reasons.get(choice, unfinished) for choice in choices]
            read, written = len(self._job.prompt), self._counts.values()
            self._job.trace.ended(read, written, reasons, self._first)

    @property
    def _phase(self) -> str:
        if self._first is not None:
            return DECODE
        return PREFILL if self._placed else QUEUE

    def _count(self, now: float) -> None:
        self._metrics.generation_tokens.inc(self._uncounted)
        self._metrics.inter_token.observe_all(self._gaps)
        self._gaps.clear()
        self._uncounted, self._count_at = 0, now + COUNT_SECONDS

    def _begin(self, now: float) -> None:
        self._first = now
        self._metrics.first_token.observe(now - self._start)
        self._job.bill.read = len(self._job.prompt)
        self._metrics.prompt_tokens.inc(len(self._job.prompt))
        self._metrics.prompt.observe(len(self._job.prompt))

    def _add_choice(self, delta: Delta, now: float) -> int:
        """How many tokens it has."""
        choice, count = delta.choice, delta.num_tokens
        before = self._latest.get(choice)
        if before is None:
            self._firsts[choice] = now
        elif count == 1:
            self._gaps.append(now - before)
        elif count:  # several at once: each took its share of the gap
            self._gaps += [(now - before) / count] * count
        self._latest[choice] = now
        self._counts[choice] = self._counts.get(choice, 0) + count
        reason = delta.finish_reason
        if reason is not None:
            self._reasons[choice] = OTHER_REASONS.get(reason, reason)
        return count

    def _end_whole(self) -> None:
        """Every choice has its last token."""
        metrics, last = self._metrics, max(self._latest.values())
        first = last if self._first is None else self._first
        # What tells of the reading may come behind the first token, on another stream.
        began = first if self._read_since is None else min(self._read_since, first)
        metrics.end_to_end.observe(last - self._start)
        metrics.queue_time.observe(began - self._start)
        metrics.inference_time.observe(last - began)
        if self._job.params.beam is not None:
            return
        metrics.prefill_time.observe(first - began)
        metrics.decode_time.observe(last - first)
        for choice, count in self._counts.items():
            if count > 1:
                mean = (self._latest[choice] - self._firsts[choice]) / (count - 1)
                metrics.per_token.observe(mean)

    def _tell_broken(self, branch: object, result: str) -> None:
        for reason, phase in self._broken.pop(branch, ()):
            self._metrics.failovers[reason, phase, result].inc()
