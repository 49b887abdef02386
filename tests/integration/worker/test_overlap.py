"""Decode reads finished chunks while prefill computes the next one: by the order of events."""

import threading
from collections.abc import Sequence
from itertools import pairwise

import pytest

from baton.core.errors import BatonError
from baton.core.worker_info import Role
from baton.engine.plan import SliceResult, StepPlan
from baton.engine.runners.hash_model import HashRunner
from baton.worker.settings import WorkerSettings
from kv_transfer.memory import Memory, Run
from kv_transfer.transports.base import Reader
from tests.support.engine_hash_model import HASH_MODEL, hash_runner
from tests.support.engine_works import GREEDY, prompt_of
from tests.support.hash_answer import hash_answer
from tests.support.kv_damage import WrappedReader, wrap_readers
from tests.support.worker_pair import BLOCKS, serving
from tests.support.worker_relay import relay

pytestmark = pytest.mark.integration

CHUNK = 64  # tokens
CHUNKS = 5
PROMPT = prompt_of(4 * CHUNK + 40)
PATIENCE = 10.0  # seconds, for what must happen


class Course:
    """What happened, in order, and how often each of it."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._changed = threading.Condition()

    def add(self, event: str) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, event: str, times: int) -> None:
        """Raises TimeoutError when it has not happened so often in `PATIENCE`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.events.count(event) >= times, PATIENCE):
                raise TimeoutError(f"{event} did not happen {times} times: {self.events}")


class WaitingRunner(HashRunner):
    """Ends no chunk before decode has read the chunk before it."""

    def __init__(self, course: Course) -> None:
        plain = hash_runner(HASH_MODEL)
        super().__init__(HASH_MODEL, plain.fingerprint)
        self._course = course
        self._chunks = 0

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        self._course.wait_for("read", self._chunks)
        self._chunks += 1
        results = super().run(plan)
        self._course.add("computed")
        return results


async def test_each_chunk_is_read_while_the_next_one_is_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    course = Course()

    def telling(inner: Reader, memory: Memory) -> Reader:
        def after(runs: Sequence[Run]) -> None:
            course.add("read")

        return WrappedReader(inner, after=after)

    wrap_readers(monkeypatch, telling)
    settings = WorkerSettings(
        model="test",
        worker_id="prefill",
        max_num_seqs=4,
        max_num_batched_tokens=CHUNK,
        kv_cache_memory_bytes=BLOCKS * HASH_MODEL.layout(16).block_bytes,
    )
    async with (
        serving(Role.PREFILL, settings=settings, runner=WaitingRunner(course)) as prefill,
        serving(Role.DECODE) as decode,
    ):
        relayed = await relay(prefill, decode, PROMPT, GREEDY)
        assert relayed.answer == hash_answer(HASH_MODEL, PROMPT, GREEDY)
        await prefill.until_idle()
        await decode.until_idle()
    # Each chunk's bytes are at decode before the next one is computed.
    assert course.events == [
        *("computed", "read") * (CHUNKS - 1),
        "computed",
        *("read", "read"),  # the last chunk's full blocks, then the partial one
    ]
    report = relayed.report
    assert [(s.first_block, s.num_blocks) for s in report.segments] == [
        *((4 * chunk, 4) for chunk in range(CHUNKS - 1)),
        *((16, 2), (18, 1)),
    ]
    whole = report.segments[:CHUNKS]
    for segment, following in pairwise(whole):
        assert 0 <= segment.ready_ms <= segment.start_ms <= following.ready_ms
        assert segment.start_ms <= segment.end_ms
    # After the end of computing there is only the last chunk's read and the confirmation.
    assert report.segments[CHUNKS - 2].start_ms <= report.computed_ms
    assert report.segments[-1].end_ms <= report.milliseconds
    assert report.computed_ms + report.exposed_ms == pytest.approx(report.milliseconds)
