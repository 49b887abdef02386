"""Steps on a CUDA device: CUDA graphs against eager steps, beside what the device itself can do, measured
in the same run: its memory by a copy, its matrix units by a product of large matrices.

python -m benchmarks.engine --device cuda --preset 8b
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import torch
from transformers import LlamaConfig, PreTrainedConfig

from baton.cluster.model_presets import PRESETS
from baton.cluster.model_weights import SHAPES, save_random_weights
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.config import EngineConfig
from baton.engine.device_engine import attention_for
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.machine.device import choose_device
from baton.engine.runners.decode_graphs import CudaRecorder
from baton.engine.runners.device_runner import DeviceRunner, MakeRecorder
from baton.engine.sampling.grammar_masks import GrammarMasks
from benchmarks.engine import BLOCK, Case, Weights, step_time, timed, weights_of
from benchmarks.measures import ratio_of

COPIED = 1 << 30  # bytes that are copied to find how fast memory is
SQUARE = 8192  # rows and columns of the matrices that are multiplied
CASES = (
    *(
        Case(f"decode, {batch} x context {context}", batch, 1, context - 1)
        for context in (512, 2048)
        for batch in (1, 16, 64)
    ),
    Case("prefill, 4096 from empty", 1, 4096, 0),
    Case("prefill, 512 after 3584", 1, 512, 3584),
)


@dataclass(frozen=True, slots=True)
class DeviceLimits:
    bytes_per_second: float  # read
    operations_per_second: float


def measure_on_device(
    device_name: str, preset: str, dtype: str, threads: int, rounds: int, seconds: float
) -> list[dict[str, float | str]]:
    """Told, too. Times in ms."""
    device = choose_device(device_name)
    if device.type != "cuda":
        raise click.UsageError("--device must name a CUDA device here")
    config = EngineConfig(
        dtype=dtype,
        device=str(device),
        block_size=BLOCK,
        threads=threads,
        max_model_len=max(case.past + case.rows for case in CASES),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        click.echo(f"making a random {preset} model")
        save_random_weights(shape_of(preset), folder)
        checkpoint = load_checkpoint(str(folder), dtype)
        weights = weights_of(checkpoint)
        checkpoint.model.to(device)  # type: ignore[arg-type]
        graphs = runner_on(checkpoint, folder, config, device, CudaRecorder)
        eager = runner_on(checkpoint, folder, config, device, None)
    pool = DevicePool(graphs.layout, max(case.sequences * case.blocks for case in CASES), device)
    eager.attach(pool)
    graphs.attach(pool)
    click.echo(
        f"{preset} in {dtype} on {torch.cuda.get_device_name(device)}, torch {torch.__version__}, "
        f"{rounds} rounds; median ms a step; ratio: graphs / eager, with its range; limit as on the CPU"
    )
    return [
        compared(case, graphs, eager, weights, limits_of(device, dtype), rounds, seconds)
        for case in CASES
    ]


def shape_of(preset: str) -> PreTrainedConfig:
    """`8b` is an 8B Llama's shape; the others are those of `baton make-model`."""
    if preset == "8b":
        return LlamaConfig(
            vocab_size=128_256,
            hidden_size=4096,
            intermediate_size=14_336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            max_position_embeddings=8192,
        )
    recipe = PRESETS[preset]
    return SHAPES[recipe.shape](recipe.vocab_size, recipe.max_length, 2, 0)


def runner_on(
    checkpoint: Checkpoint,
    folder: Path,
    config: EngineConfig,
    device: torch.device,
    make_recorder: MakeRecorder | None,
) -> DeviceRunner:
    attention = attention_for(checkpoint, config, torch.cuda.get_device_capability(device))
    masks = GrammarMasks(folder, checkpoint.vocab_size, checkpoint.eos_token_ids)
    return DeviceRunner(checkpoint, config, device, attention, masks, make_recorder)


def limits_of(device: torch.device, dtype: str) -> DeviceLimits:
    """The best of a few each."""
    source = torch.empty(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    matrix = torch.ones(SQUARE, SQUARE, dtype=TORCH_DTYPES[dtype], device=device)

    def waited(work: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            work()
            torch.cuda.synchronize(device)

        return act

    copy, multiply = waited(lambda: target.copy_(source)), waited(lambda: matrix @ matrix)
    for act in (copy, multiply):
        act()
    return DeviceLimits(
        2 * COPIED / min(timed(copy) for _ in range(5)),  # what is written counts like what is read
        2 * SQUARE**3 / min(timed(multiply) for _ in range(5)),
    )


def compared(
    case: Case,
    graphs: DeviceRunner,
    eager: DeviceRunner,
    weights: Weights,
    limits: DeviceLimits,
    rounds: int,
    seconds: float,
) -> dict[str, float | str]:
    pairs: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        order = (eager, graphs) if number % 2 else (graphs, eager)
        times = {id(runner): step_time(runner, case.plan, seconds) for runner in order}
        if number:
            pairs.append((times[id(graphs)], times[id(eager)]))
    found = ratio_of(pairs)
    ours, theirs = (median(values) * 1e3 for values in zip(*pairs, strict=True))
    limit = device_limit(case, graphs.layout.block_bytes, weights, limits) * 1e3
    click.echo(
        f"{case.name:<26} graphs {ours:8.2f}  eager {theirs:8.2f}  "
        f"ratio {found.median:.3f} ({found.low:.3f} to {found.high:.3f})  "
        f"limit {limit:8.2f}  graphs / limit {ours / limit:.2f}"
    )
    return {
        "case": case.name,
        "graphs": ours,
        "eager": theirs,
        "ratio": found.median,
        "limit": limit,
    }


def device_limit(case: Case, block_bytes: int, weights: Weights, limits: DeviceLimits) -> float:
    """Seconds: to read weights and KV once, or to multiply by the layers' weights."""
    if case.rows > 1:
        return 2 * weights.layers * case.sequences * case.rows / limits.operations_per_second
    context = case.sequences * (case.past + case.rows)
    return (weights.bytes + context * block_bytes // BLOCK) / limits.bytes_per_second
