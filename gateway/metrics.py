"""What the gateway counts: vLLM's request-level families, so that its dashboards work here too."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

from gateway.breaks import REASONS as BREAK_REASONS
from gateway.job import Job
from gateway.move import MoveResult
from gateway.output import Delta
from gateway.placement_metrics import PlacementMetrics
from gateway.prefix_book import PrefixBook
from gateway.prefix_metrics import LABELS, PrefixCollector
from gateway.tenants.metrics import TenantMetrics

ENGINE = "0"  # vLLM's label; the gateway speaks for the one engine that a client sees
REASONS = ("stop", "length", "abort", "error")
OTHER_REASONS = {"tool_calls": "stop"}  # finish reasons that the engine does not know

SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5)
FIRST = (*SHORT, 7.5, 10, 20, 40, 80, 160)
LONG = (0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 60, 120, 240, 480, 960, 1920)
COUNT_SECONDS = (
    1.0  # between two times that a stream's tokens are counted: each costs as much as many
)
TOKENS = tuple(factor * 10**power for power in range(6) for factor in (1, 2, 5))


class GatewayMetrics:
    """A registry of its own, so that two gateways in one process do not meet."""

    def __init__(self, model_name: str) -> None:
        self._registry = CollectorRegistry()
        self._model = model_name
        self.prompt_tokens = self._counter("vllm:prompt_tokens", "Prompt tokens read.")
        self.generation_tokens = self._counter("vllm:generation_tokens", "Tokens generated.")
        self.first_token = self._histogram(
            "vllm:time_to_first_token_seconds", "From arrival to the first token.", FIRST
        )
        self.inter_token = self._histogram(
            "vllm:inter_token_latency_seconds", "Between two tokens of a choice.", SHORT
        )
        self.end_to_end = self._histogram(
            "vllm:e2e_request_latency_seconds", "From arrival to the last token.", LONG
        )
        self.request_prompt = self._histogram(
            "vllm:request_prompt_tokens", "Prompt tokens of a request.", TOKENS
        )
        self.request_generation = self._histogram(
            "vllm:request_generation_tokens", "Generated tokens of a choice.", TOKENS
        )
        ended = Counter(
            "vllm:request_success",
            "Choices that ended, by reason.",
            (*LABELS, "finished_reason"),
            registry=self._registry,
        )
        failovers = Counter(
            "baton_failovers",
            "What broke under a request that then went on elsewhere, by what was wrong.",
            (*LABELS, "reason"),
            registry=self._registry,
        )
        self.failovers = {
            reason: failovers.labels(model_name, ENGINE, reason) for reason in BREAK_REASONS
        }
        moves = Counter(
            "baton_moves",
            "Running choices that a decode worker was asked to hand over to another one.",
            (*LABELS, "result"),
            registry=self._registry,
        )
        self.moves = {
            result.value: moves.labels(model_name, ENGINE, result.value) for result in MoveResult
        }
        self.placements = PlacementMetrics(self._registry, (model_name, ENGINE))
        self.tenants = TenantMetrics(self._registry)
        self.ended = {reason: ended.labels(model_name, ENGINE, reason) for reason in REASONS}

    def follow(self, book: PrefixBook) -> None:
        """What it counts is on the page too."""
        self.register(PrefixCollector(book, self._model, ENGINE))

    def watch_queue(self, length: Callable[[], int]) -> None:
        """`length`: requests that wait for room, asked at each scrape."""
        queued = Gauge(
            "baton_queued_requests",
            "Requests that wait at the gateway until workers have room for them.",
            LABELS,
            registry=self._registry,
        )
        queued.labels(self._model, ENGINE).set_function(length)

    def register(self, collector: Collector) -> None:
        """Its families are on the page too."""
        self._registry.register(collector)

    def page(self) -> bytes:
        return generate_latest(self._registry)

    @contextmanager
    def watching(self, job: Job) -> Iterator["JobMeter"]:
        """Whoever leaves before the last token has aborted; a named error is an error."""
        meter = JobMeter(self, job)
        unfinished = "error"
        try:
            yield meter
            unfinished = "stop"  # of no choice
        except (asyncio.CancelledError, GeneratorExit):
            unfinished = "abort"
            raise
        finally:
            meter.end(unfinished)

    def _counter(self, name: str, help: str) -> Counter:
        return Counter(name, help, LABELS, registry=self._registry).labels(self._model, ENGINE)

    def _histogram(self, name: str, help: str, buckets: tuple[float, ...]) -> Histogram:
        family = Histogram(name, help, LABELS, registry=self._registry, buckets=buckets)
        return family.labels(self._model, ENGINE)


class JobMeter:
    """Of one prompt. What is given out counts, once. How choices ended is counted at the end."""

    def __init__(self, metrics: GatewayMetrics, job: Job) -> None:
        self._metrics = metrics
        self._job = job
        self._start = time.monotonic()
        self._latest: dict[int, float] = {}  # choice -> when its last token came
        self._counts: dict[int, int] = {}
        self._reasons: dict[int, str] = {}  # choice -> why it ended
        self._first: float | None = None  # when tokens first came
        self._uncounted = 0  # tokens, on no page yet
        self._count_at = self._start + COUNT_SECONDS

    def add(self, deltas: Sequence[Delta]) -> None:
        """Of one step, one per choice."""
        now = time.monotonic()
        if self._first is None:
            self._begin(now)
        self._job.bill.written += sum(delta.num_tokens for delta in deltas)
        for delta in deltas:
            self._add_choice(delta, now)
        if now >= self._count_at:
            self._count(now)

    @property
    def tokens_per_choice(self) -> float:
        """Given out so far, on the average."""
        return sum(self._counts.values()) / self._job.params.n

    def failed_over(self, reason: str) -> None:
        """Something broke under it, and it goes on elsewhere."""
        self._metrics.failovers[reason].inc()

    def end(self, unfinished: str) -> None:
        """`unfinished`: why choices without a last token ended."""
        self._count(time.monotonic())
        for choice in range(self._job.params.n):
            self._metrics.ended[self._reasons.get(choice, unfinished)].inc()
        for count in self._counts.values():
            self._metrics.request_generation.observe(count)
        if len(self._reasons) == self._job.params.n:
            self._metrics.end_to_end.observe(time.monotonic() - self._start)
        if (trace := self._job.trace) is not None:
            reasons = [self._reasons.get(c, unfinished) for c in range(self._job.params.n)]
            trace.ended(len(self._job.prompt), self._counts.values(), reasons, self._first)

    def _count(self, now: float) -> None:
        self._metrics.generation_tokens.inc(self._uncounted)
        self._uncounted, self._count_at = 0, now + COUNT_SECONDS

    def _begin(self, now: float) -> None:
        self._first = now
        self._metrics.first_token.observe(now - self._start)
        self._job.bill.read = len(self._job.prompt)
        self._metrics.prompt_tokens.inc(len(self._job.prompt))
        self._metrics.request_prompt.observe(len(self._job.prompt))

    def _add_choice(self, delta: Delta, now: float) -> None:
        choice, count = delta.choice, delta.num_tokens
        self._uncounted += count
        before = self._latest.get(choice)
        if before is not None:  # several at once: each took its share of the gap
            for _ in range(count):
                self._metrics.inter_token.observe((now - before) / count)
        self._latest[choice] = now
        self._counts[choice] = self._counts.get(choice, 0) + count
        reason = delta.finish_reason
        if reason is not None:
            self._reasons[choice] = OTHER_REASONS.get(reason, reason)
