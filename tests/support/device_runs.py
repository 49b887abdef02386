"""The runner of CUDA devices on a CPU, where its copies are made at once and its graphs are computed
again instead of replayed.
"""

from pathlib import Path

import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionBackend, AttentionRule, AttentionStep
from baton.engine.attention.choice import MakeAttention
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.config import EngineConfig
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.plan import StepPlan
from baton.engine.runners.decode_graphs import EagerRecorder
from baton.engine.runners.device_runner import DeviceRunner
from baton.engine.sampling.grammar_masks import GrammarMasks

CPU = torch.device("cpu")


class FakeFixedStep:
    """Prepares anew in place of filling buffers: for a backend that has none."""

    def __init__(self, backend: AttentionBackend, rows: int, context: int) -> None:
        self._backend = backend
        self._rows, self._context = rows, context
        self._step: AttentionStep | None = None

    def renew(self, plan: StepPlan) -> None:
        assert len(plan.slices) == self._rows
        assert max(piece.start for piece in plan.slices) < self._context
        self._step = self._backend.prepare(plan)

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        assert self._step is not None
        return self._step.forward(layer, query, key, value, rule)


class FakeGraphable(TorchReference):
    def decode_step(self, rows: int, context: int) -> FakeFixedStep:
        return FakeFixedStep(self, rows, context)


def device_runner(
    model: Path,
    config: EngineConfig,
    make_attention: MakeAttention = FakeGraphable,
    device: torch.device = CPU,
) -> DeviceRunner:
    """Without graphs where the config says `enforce_eager`."""
    checkpoint = load_checkpoint(str(model), config.dtype)
    checkpoint.model.to(device)  # type: ignore[arg-type]
    return runner_of(checkpoint, model, config, make_attention, device)


def runner_of(
    checkpoint: Checkpoint,
    model: Path,
    config: EngineConfig,
    make_attention: MakeAttention,
    device: torch.device,
) -> DeviceRunner:
    masks = GrammarMasks(model, checkpoint.vocab_size, checkpoint.eos_token_ids)
    recorder = None if config.enforce_eager else lambda _: EagerRecorder()
    return DeviceRunner(checkpoint, config, device, make_attention, masks, recorder)


def device_pool(runner: DeviceRunner, num_blocks: int) -> DevicePool:
    """Attached."""
    pool = DevicePool(runner.layout, num_blocks, CPU)
    runner.attach(pool)
    return pool
