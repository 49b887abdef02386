"""Engines on the CUDA device of this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from baton.engine.attention.choice import MakeAttention
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.config import EngineConfig
from baton.engine.device_engine import attention_for, build_device_engine
from baton.engine.engine import Engine
from baton.engine.loading.checkpoint import load_checkpoint
from baton.engine.runners.decode_graphs import CudaRecorder
from baton.engine.runners.device_runner import DeviceRunner
from baton.engine.sampling.grammar_masks import GrammarMasks

GPU = torch.device("cuda", 0)


def gpu_config(**fields: object) -> EngineConfig:
    values = {
        "device": "cuda:0",
        "kv_cache_memory_bytes": 64 << 20,
        "max_num_seqs": 16,
        "max_num_batched_tokens": 256,
        **fields,
    }
    return EngineConfig(**values)  # type: ignore[arg-type]


@contextmanager
def gpu_engine(model: Path, config: EngineConfig) -> Iterator[Engine]:
    """Checks at the end that no reference was lost."""
    engine = build_device_engine(str(model), config, GPU)
    engine.start()
    try:
        yield engine
        engine.stop()
        engine.blocks.check_integrity()
        assert engine.blocks.free == engine.blocks.total
    finally:
        engine.close()


def gpu_runner(
    model: Path, config: EngineConfig, num_blocks: int
) -> tuple[DeviceRunner, DevicePool]:
    """With a pool attached."""
    checkpoint = load_checkpoint(str(model), config.dtype)
    attention: MakeAttention = attention_for(
        checkpoint, config, torch.cuda.get_device_capability(GPU)
    )
    checkpoint.model.to(GPU)  # type: ignore[arg-type]
    masks = GrammarMasks(model, checkpoint.vocab_size, checkpoint.eos_token_ids)
    recorder = None if config.enforce_eager else CudaRecorder
    runner = DeviceRunner(checkpoint, config, GPU, attention, masks, recorder)
    pool = DevicePool(runner.layout, num_blocks, GPU)
    runner.attach(pool)
    return runner, pool
