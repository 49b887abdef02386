"""An engine's core without a thread: the test steps it and sees every event and plan."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from baton.core.block_hashes import Hashing
from baton.core.errors import BatonError, InternalError
from baton.core.layout import LayoutDescriptor
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.blocks.host_blocks import HostBlocks
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.limits import Limits, check_work
from baton.engine.plan import SliceResult, StepPlan
from baton.engine.runners.hash_model import HashModelConfig
from baton.engine.scheduling.core import EngineCore
from baton.engine.scheduling.flight import AtOnce, Launcher
from baton.engine.scheduling.scheduler import Scheduler
from baton.engine.work import BlocksLent, EngineEvent, TokensDrawn, Work, WorkDone
from tests.support.engine_device import FakeDevice
from tests.support.engine_hash_model import HASH_MODEL, hash_runner
from tests.support.hash_answer import hash_answer


class RecordingRunner:
    """Passes plans on to a hash model and keeps them.

    `before` sees each plan first, and at which of its slices nobody will look: `void`. While `fails`,
    a step's first slice that draws finds no numbers.
    """

    def __init__(self, model: HashModelConfig, block_size: int, pool: KvPool) -> None:
        self._inner = hash_runner(model, block_size)
        self._inner.attach(pool)
        self.plans: list[StepPlan] = []
        self.before: Callable[[StepPlan], None] = lambda plan: None
        self.void: frozenset[int] = frozenset()
        self.fails = False
        self.layout = self._inner.layout
        self.fingerprint = self._inner.fingerprint
        self.vocab_size = self._inner.vocab_size
        self.eos_token_ids = self._inner.eos_token_ids
        self.max_model_len = self._inner.max_model_len

    def attach(self, pool: KvPool) -> None:
        self._inner.attach(pool)

    def check(self, params: SamplingParams) -> None:
        self._inner.check(params)

    def foresees(self, params: SamplingParams) -> bool:
        return self._inner.foresees(params)

    def rest(self) -> None:
        return

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        self.before(plan)
        self.plans.append(plan)
        results: list[SliceResult | BatonError] = [*self._inner.run(plan)]
        drawing = [index for index, piece in enumerate(plan.slices) if piece.draws]
        if self.fails and drawing:
            results[drawing[0]] = InternalError("no numbers")
        return results


class CopiedPool(KvPool):
    """Tells of each copy."""

    def __init__(self, layout: LayoutDescriptor, num_blocks: int) -> None:
        super().__init__(layout, num_blocks)
        self.copied: Callable[[int, int], None] = lambda source, target: None

    def copy_block(self, source: int, target: int) -> None:
        self.copied(source, target)
        super().copy_block(source, target)


class CopiedSlots(HostBlocks):
    """Tells of each copy."""

    def __init__(self, pool: KvPool, num_slots: int) -> None:
        super().__init__(pool, num_slots)
        self.kept: Callable[[int, int], None] = lambda block, slot: None
        self.brought: Callable[[int, int], None] = lambda slot, block: None

    def keep(self, block: int, slot: int) -> None:
        self.kept(block, slot)
        super().keep(block, slot)

    def bring(self, slot: int, block: int) -> None:
        self.brought(slot, block)
        super().bring(slot, block)


class Bench:
    """Block sizes below 16 are allowed here, so that small examples cross many boundaries."""

    def __init__(
        self,
        num_blocks: int,
        block_size: int = 4,
        max_num_seqs: int = 8,
        max_num_batched_tokens: int = 64,
        model: HashModelConfig = HASH_MODEL,
        caching: bool = False,
        num_slots: int = 0,
        max_mixed_prompt_tokens: int = 64,
        ahead: bool = False,
    ) -> None:
        """`ahead`: steps are begun while others are under way, on a pretended device."""
        self.model = model
        self.limits = Limits(
            block_size=block_size,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            max_mixed_prompt_tokens=max_mixed_prompt_tokens,
            max_model_len=min(model.max_position_embeddings, num_blocks * block_size),
            vocab_size=model.vocab_size,
            eos_token_ids=frozenset({model.eos_token_id}),
            num_blocks=num_blocks,
        )
        self.pool = CopiedPool(model.layout(block_size), num_blocks)
        self.slots = CopiedSlots(self.pool, num_slots) if num_slots else None
        self.blocks = BlockPool(num_blocks, self.slots)
        hashing = Hashing("bench", block_size, hash_block=block_size) if caching else None
        self.scheduler = Scheduler(self.blocks, self.limits, hashing)
        self.runner = RecordingRunner(model, block_size, self.pool)
        self.device = FakeDevice(self.runner) if ahead else None
        launcher: Launcher = self.device or AtOnce(self.runner)
        self.core = EngineCore(self.scheduler, launcher, self.pool, self._deliver)
        self.events: defaultdict[str, list[EngineEvent]] = defaultdict(list)

    def submit(self, work: Work) -> None:
        check_work(work, self.limits)
        self.core.submit(work)

    def step(self) -> bool:
        return self.core.step()

    def run(self, max_steps: int = 2000) -> None:
        """Until there is nothing left to compute."""
        for _ in range(max_steps):
            if not self.step():
                return
        raise AssertionError(f"still busy after {max_steps} steps")

    @property
    def last_plan(self) -> StepPlan:
        return self.runner.plans[-1]

    def records(self, key: str, choice: int = 0) -> tuple[TokenRecord, ...]:
        """What was drawn for one choice, in the order in which it came."""
        return tuple(
            record
            for event in self.events[key]
            if isinstance(event, TokensDrawn)
            for record in event.records
            if record.choice == choice
        )

    def close(self) -> None:
        if self.slots is not None:
            self.slots.close()
        self.pool.close()

    def _deliver(self, key: str, event: EngineEvent) -> None:
        self.events[key].append(event)


@contextmanager
def bench(num_blocks: int = 32, **sizes: Any) -> Iterator[Bench]:
    made = Bench(num_blocks, **sizes)
    try:
        yield made
    finally:
        made.close()


def assert_answers(made: Bench, key: str, prompt: tuple[int, ...], params: SamplingParams) -> None:
    expected = hash_answer(made.model, prompt, params, made.limits.max_model_len)
    assert tuple(made.records(key, choice) for choice in range(params.n)) == expected
    assert isinstance(made.events[key][-1], WorkDone)


def lent(made: Bench, key: str) -> tuple[int, ...]:
    return next(e.blocks for e in made.events[key] if isinstance(e, BlocksLent))
