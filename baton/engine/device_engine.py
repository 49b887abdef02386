"""An engine on a CUDA device: weights there, the pool sized by what a worst step leaves."""

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from baton.core.errors import SettingsError
from baton.engine.attention.choice import MakeAttention
from baton.engine.attention.device_choice import (
    FLASH_ATTN,
    FLASHINFER,
    MODULES,
    TRITON,
    DeviceFacts,
    choose_on_device,
)
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.blocks.device_storage import DeviceStorage
from baton.engine.config import OFF, ON, EngineConfig
from baton.engine.engine import Engine
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.machine.device_memory import kv_cache_bytes, measured, worst_plan
from baton.engine.plan import Slice, StepPlan
from baton.engine.runners.decode_graphs import CudaRecorder
from baton.engine.runners.device_runner import DeviceRunner
from baton.engine.runners.graph_sizes import graph_rows
from baton.engine.sampling.grammar_masks import GrammarMasks

logger = logging.getLogger(__name__)


def build_device_engine(model: str, config: EngineConfig, device: torch.device) -> Engine:
    """Raises SettingsError where the model, the settings and the device do not go together."""
    if config.batch_invariant:
        raise SettingsError(
            "--batch-invariant is kept by the C++ kernels alone: take --device cpu with it"
        )
    graph_rows(config.cuda_graph_sizes, config.max_num_seqs)  # refused before a weight is read
    torch.cuda.set_device(device)
    meter = CudaMeter(device)
    free_at_start = meter.free()
    checkpoint = load_checkpoint(model, config.dtype)
    name = attention_name(checkpoint, config, torch.cuda.get_device_capability(device))
    make_attention = attention_called(name)
    if not steps_ahead(config.async_scheduling, name):
        config = replace(config, async_scheduling=OFF)
    try:
        checkpoint.model.to(device)  # type: ignore[arg-type]
    except torch.OutOfMemoryError as error:
        raise SettingsError(
            f"the model's weights do not fit on {device}, which has {meter.total() / 2**30:.1f} GiB: "
            "take a smaller model, or --dtype bfloat16 if it is float32"
        ) from error
    masks = GrammarMasks(Path(model), checkpoint.vocab_size, checkpoint.eos_token_ids)
    recorder = None if config.enforce_eager else CudaRecorder
    runner = DeviceRunner(checkpoint, config, device, make_attention, masks, recorder)
    if config.max_mixed_prompt_tokens is None:  # a device reads prompts much faster than it writes
        config = replace(config, max_mixed_prompt_tokens=config.max_num_batched_tokens)
    if config.kv_cache_memory_bytes is None:
        found = _room_for_pool(checkpoint, config, device, make_attention, masks, free_at_start)
        config = replace(config, kv_cache_memory_bytes=found)
    logger.info("%s computes on %s, %s", model, device, torch.cuda.get_device_name(device))
    return Engine(runner, config, DeviceStorage(device))


def steps_ahead(wish: str, attention: str) -> bool:
    """Whether a step is begun before the result of the last one is known. Raises SettingsError."""
    if attention != FLASHINFER:
        return wish != OFF
    if wish == ON:
        raise SettingsError(
            "--async-scheduling on: FlashInfer plans each step in host memory that the step before may "
            "still read; take another --attention-backend with it"
        )
    return False


def attention_for(
    checkpoint: Checkpoint, config: EngineConfig, capability: tuple[int, int]
) -> MakeAttention:
    return attention_called(attention_name(checkpoint, config, capability))


def attention_name(
    checkpoint: Checkpoint, config: EngineConfig, capability: tuple[int, int]
) -> str:
    facts = DeviceFacts(
        capability=capability,
        importable=frozenset(name for name, module in MODULES.items() if find_spec(module)),
        dtype=checkpoint.dtype,
        head_dim=checkpoint.head_dim,
        graphs=not config.enforce_eager,
    )
    name = choose_on_device(config.attention_backend, facts)
    logger.info("attention runs in %s", name)
    return name


def attention_called(name: str) -> MakeAttention:
    if name == TRITON:  # each is imported where it was found
        from baton.engine.attention.triton_kernel import TritonKernel

        return TritonKernel
    if name == FLASH_ATTN:
        from baton.engine.attention.flash_attn import FlashAttention

        return FlashAttention
    from baton.engine.attention.flashinfer import FlashInfer

    return FlashInfer


def _room_for_pool(
    checkpoint: Checkpoint,
    config: EngineConfig,
    device: torch.device,
    make_attention: MakeAttention,
    masks: GrammarMasks,
    free_at_start: int,
) -> int:
    """Bytes, by running the worst steps over a trial pool."""
    longest = min(checkpoint.max_model_len, config.max_model_len or checkpoint.max_model_len)
    tokens, sequences = config.max_num_batched_tokens, config.max_num_seqs
    worst = worst_plan(tokens, sequences, longest, config.block_size)
    num_blocks = sum(len(piece.blocks) for piece in worst.slices)
    layout = checkpoint.layout(config.block_size)
    trial = DevicePool(layout, num_blocks, device)
    eager = DeviceRunner(checkpoint, config, device, make_attention, masks, None)
    eager.attach(trial)
    meter = CudaMeter(device)
    use = measured(
        meter,
        free_at_start,
        _run(eager, worst),
        _run(eager, _decode_of(worst)),
        (num_blocks + 1) * layout.block_bytes,
        graphs=not config.enforce_eager,
    )
    del eager
    trial.close()
    gc.collect()
    torch.cuda.empty_cache()
    found = kv_cache_bytes(use, config.gpu_memory_utilization, layout.block_bytes)
    logger.info("%.2f GiB of the device are left for the KV pool", found / 2**30)
    return found


def _decode_of(worst: StepPlan) -> StepPlan:
    """As many sequences, one token each."""
    return StepPlan(tuple(Slice((0,), 0, piece.blocks[:1], piece.draws) for piece in worst.slices))


def _run(runner: DeviceRunner, plan: StepPlan) -> Callable[[], None]:
    """As many steps at once as may be under way: what one leaves for its landing is there beside the
    other.
    """

    def run() -> None:
        for flight in [runner.launch(plan) for _ in range(runner.depth)]:
            flight.results()

    return run


class CudaMeter:
    """A `Meter` of one CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def total(self) -> int:
        return int(torch.cuda.mem_get_info(self._device)[1])

    def free(self) -> int:
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(self._device)[0])

    def held(self) -> int:
        return int(torch.cuda.memory_reserved(self._device))

    def in_use(self) -> int:
        return int(torch.cuda.memory_allocated(self._device))

    def peak_of(self, work: Callable[[], None]) -> int:
        torch.cuda.reset_peak_memory_stats(self._device)
        work()
        torch.cuda.synchronize(self._device)
        peak = int(torch.cuda.max_memory_allocated(self._device))
        torch.cuda.empty_cache()
        return peak
