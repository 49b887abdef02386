"""The spans of one HTTP request, as far as the gateway sees it. Names of attributes are vLLM's where
vLLM has them.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from baton.telemetry.call_trace import failure_of
from gateway.job import Job
from gateway.reading import Reading

if TYPE_CHECKING:
    from baton.telemetry.lane import Lane
    from baton.telemetry.tracing import Span

NAME = "llm_request"
MODEL = ("gen_ai.request.model", "gen_ai.response.model")


class RequestTrace:
    """The root and what stands directly below it: `prepare`, then for each prompt `queue`,
    `placement` and `attempt`, as often as it takes, then `deliver`. For one prompt they fill it
    without a gap.
    """

    def __init__(self, root: "Span", arrived: float) -> None:
        self._root = root
        self._arrived = arrived
        self._prepared: float | None = None
        self._lanes: list[Lane] = []
        self._spent: defaultdict[str, float] = defaultdict(float)  # seconds, by phase
        self._first: float | None = None
        self._tokens = [0, 0]  # read, written
        self._reasons: list[str] = []

    @property
    def trace_id(self) -> str:
        return self._root.trace_id

    def serves(self, model: str) -> None:
        """Which model it is for, as clients call it."""
        self._root.set(dict.fromkeys(MODEL, model))

    def lane(self, job: Job) -> "Lane":
        """For the phases of a prompt, or of a part of it that goes on by itself."""
        if self._prepared is None:
            self._prepared = self._prepare(job)
        begin = time.monotonic() if self._lanes else self._prepared
        lane = self._root.lane(begin)
        self._lanes.append(lane)
        return lane

    def spent(self, phase: str, seconds: float) -> None:
        """One of its prompts was so long in a phase of this name."""
        self._spent[phase] += seconds

    def ended(
        self, read: int, written: Iterable[int], reasons: Iterable[str], first: float | None
    ) -> None:
        """One prompt, with the tokens of each choice; `first` is when its first one came."""
        self._tokens[0] += read
        self._tokens[1] += sum(written)
        self._reasons += reasons
        if first is not None:
            self._first = first if self._first is None else min(first, self._first)

    def read(self, reading: Reading) -> None:
        """Where a prompt was read and answered, and what that took."""
        told = {
            "baton.prefill_worker": reading.prefill_worker,
            "baton.decode_worker": reading.decode_worker,
            "baton.placement.reason": reading.reason,
            "baton.cached_tokens": reading.cached_tokens,
            "baton.failovers": reading.failovers,
            "baton.moves": reading.moves,
            "baton.continued_on": reading.continued_on or None,
        }
        self._root.set({name: value for name, value in told.items() if value is not None})

    def failed(self, error: str) -> None:
        """The client was told so, behind a status that had promised an answer."""
        self._root.fail(error)

    def end(self, request_id: str, status: int | None, left: bool) -> None:
        """When the last byte of the answer is written, or the client has `left`. `status`: None where
        no answer began.
        """
        now = time.monotonic()
        self._root.set({"gen_ai.request.id": request_id, "gen_ai.latency.e2e": now - self._arrived})
        if self._prepared is None:
            self._root.lane(self._arrived).phase("prepare", at=now)
        else:
            self._root.lane(max(lane.reached for lane in self._lanes)).phase("deliver", at=now)
            self._count()
        if left:
            self._root.set({"baton.client_left": True})
        if status is not None:
            self._root.set({"http.response.status_code": status})
        self._root.end(now, f"HTTP {status}" if status is not None and status >= 500 else None)

    def _prepare(self, job: Job) -> float:
        params, now = job.params, time.monotonic()
        self._root.lane(self._arrived).phase("prepare", at=now)
        self._root.set(
            {
                "gen_ai.request.max_tokens": params.max_tokens,
                "gen_ai.request.n": params.n,
                "gen_ai.request.temperature": params.temperature,
                "gen_ai.request.top_p": params.top_p,
            }
        )
        return now

    def _count(self) -> None:
        read, written = self._tokens
        self._root.set(
            {
                "gen_ai.usage.prompt_tokens": read,
                "gen_ai.usage.completion_tokens": written,
                "gen_ai.usage.num_sequences": len(self._reasons),
                "gen_ai.response.finish_reasons": tuple(self._reasons),
                "gen_ai.latency.time_in_queue": self._spent["queue"],
                "gen_ai.latency.time_in_model_prefill": self._spent["prefill"],
                "gen_ai.latency.time_in_model_decode": self._spent["decode"],
            }
        )
        if self._first is not None:
            self._root.set({"gen_ai.latency.time_to_first_token": self._first - self._arrived})


class Wait:
    """In the line. Ends when workers were looked for and found."""

    def __init__(self) -> None:
        self.looked_at = 0.0

    def look(self) -> None:
        self.looked_at = time.monotonic()


@contextmanager
def in_line(trace: RequestTrace | None, lane: "Lane | None") -> Iterator[Wait]:
    """Around a prompt's wait for room, which is a phase of its lane."""
    wait = Wait()
    if trace is None or lane is None:
        yield wait
        return
    began = lane.reached
    try:
        yield wait
    except BaseException as error:
        lane.phase("queue", error=failure_of(error))
        raise
    lane.phase("queue", at=wait.looked_at)
    trace.spent("queue", lane.reached - began)
