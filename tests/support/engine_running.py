"""Real engines on hash models, started and stopped around a test, and a runner that can be held."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from baton.core.errors import BatonError
from baton.engine.blocks.storage import Storage
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.plan import Runner, SliceResult, StepPlan
from baton.engine.runners.hash_model import HashModelConfig, HashRunner
from tests.support.engine_events import PATIENCE
from tests.support.engine_hash_model import HASH_MODEL, hash_runner


class HeldRunner(HashRunner):
    """Each step waits for `let_go`; `started` is set when the first one has begun."""

    def __init__(self, model: HashModelConfig = HASH_MODEL) -> None:
        inner = hash_runner(model)
        super().__init__(model, inner.fingerprint)
        self.started = threading.Event()
        self.let_go = threading.Event()
        self.num_steps = 0

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        self.num_steps += 1
        self.started.set()
        if not self.let_go.wait(PATIENCE):
            raise AssertionError("nobody let the step go")
        return super().run(plan)

    def wait_until_started(self) -> None:
        assert self.started.wait(PATIENCE), "no step began"


def engine_config(
    num_blocks: int = 64,
    model: HashModelConfig = HASH_MODEL,
    max_num_seqs: int = 8,
    max_num_batched_tokens: int = 128,
    num_slots: int = 0,
) -> EngineConfig:
    """`num_slots`: blocks of host memory for what the pool gives up."""
    return EngineConfig(
        kv_offloading_bytes=num_slots * model.layout(16).block_bytes,
        kv_cache_memory_bytes=num_blocks * model.layout(16).block_bytes,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
    )


@contextmanager
def running_engine(
    config: EngineConfig, runner: Runner | None = None, storage: Storage | None = None
) -> Iterator[Engine]:
    """Checks at the end that no reference was lost."""
    engine = Engine(runner or hash_runner(), config, storage)
    engine.start()
    try:
        yield engine
        engine.stop()
        engine.blocks.check_integrity()
        assert engine.blocks.free == engine.blocks.total
    finally:
        engine.close()
