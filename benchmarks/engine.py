"""How long one step of the engine takes: the C++ kernels against plain torch, and beside the limits of
memory and of matrix products, measured in the same run.

python -m benchmarks.engine --preset tiny --rounds 7
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import torch

from baton.cluster.model_presets import PRESETS
from baton.cluster.model_weights import SHAPES, save_random_weights
from baton.core.sampling_params import SamplingParams
from baton.engine.attention.choice import choose_attention
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.config import EngineConfig
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.machine.host_cores import available_cores
from baton.engine.modules.screened_head import MOST_ROWS, screened_head_of
from baton.engine.plan import Draw, Runner, Slice, StepPlan
from baton.engine.runners.torch_runner import TorchRunner, replace_modules
from baton.engine.sampling.grammar_masks import GrammarMasks
from benchmarks.measures import ratio_of

BLOCK = 16  # tokens
GREEDY = SamplingParams(max_tokens=1, seed=0, temperature=0.0)
READ = 256 << 20  # bytes that are read to find how fast memory is: no cache holds them
SQUARE = 2048  # rows and columns of the matrices that are multiplied to find how fast that is


@dataclass(frozen=True, slots=True)
class Case:
    """`rows` tokens of each of `sequences`, after `past` tokens."""

    name: str
    sequences: int
    rows: int
    past: int

    @property
    def blocks(self) -> int:
        """Of one sequence."""
        return -(-(self.past + self.rows) // BLOCK)

    @property
    def plan(self) -> StepPlan:
        draws = (Draw(0, self.past + self.rows, GREEDY),)
        tokens = tuple(range(1, self.rows + 1))  # 0 pads: it says nothing, and all logits are equal
        return StepPlan(
            tuple(
                Slice(tokens, self.past, tuple(range(n, n + self.blocks)), draws)
                for n in range(0, self.sequences * self.blocks, self.blocks)
            )
        )


CASES = (
    *(
        Case(f"decode, {batch} x context {context}", batch, 1, context - 1)
        for context in (512, 2048)
        for batch in (1, 4, 16)
    ),
    Case("prefill, 512 from empty", 1, 512, 0),
    Case("prefill, 512 after 1536", 1, 512, 1536),
)


@click.command()
@click.option(
    "--device", default="cpu", show_default=True, help="cpu, or cuda: graphs against eager steps."
)
@click.option(
    "--preset", default="tiny", show_default=True, type=click.Choice(["tiny", "small", "8b"])
)
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option(
    "--quantization",
    type=click.Choice(["int8"]),
    help="Fast is this, and instead of plain torch the same kernels without it stand beside it.",
)
@click.option("--threads", default=available_cores(), show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=0.3, show_default=True, help="Of each measurement, at least.")
@click.option(
    "--json", "out", type=click.Path(path_type=Path), help="Writes the figures there, too."
)
def main(
    device: str,
    preset: str,
    dtype: str,
    quantization: str | None,
    threads: int,
    rounds: int,
    seconds: float,
    out: Path | None,
) -> None:
    """The two take turns round by round; one more round before them is not measured."""
    torch.set_num_threads(threads)
    if device == "cpu":
        found = on_cpu(preset, dtype, quantization, threads, rounds, seconds)
    elif quantization:
        raise click.UsageError("--quantization is for --device cpu")
    else:
        from benchmarks.engine_device import measure_on_device

        found = measure_on_device(device, preset, dtype, threads, rounds, seconds)
    if out is not None:
        about = {
            "device": device,
            "preset": preset,
            "dtype": dtype,
            "quantization": quantization,
            "threads": threads,
            "torch": torch.__version__,
        }
        out.write_text(json.dumps({**about, "cases": found}, indent=2) + "\n", encoding="utf-8")


def on_cpu(
    preset: str, dtype: str, quantization: str | None, threads: int, rounds: int, seconds: float
) -> list[dict[str, float | str]]:
    if preset == "8b":
        raise click.UsageError("--preset 8b is for --device cuda")
    with tempfile.TemporaryDirectory() as scratch:
        click.echo(f"making a random {preset} model")
        folder = Path(scratch)
        recipe = PRESETS[preset]
        shape = SHAPES[recipe.shape](recipe.vocab_size, recipe.max_length, 2, 0)
        save_random_weights(shape, folder)
        plain, _ = load(folder, dtype, threads, fast=quantization is not None)
        fast, weights = load(folder, dtype, threads, fast=True, quantization=quantization)
    with shared_pool(plain, fast) as pool:
        pool.view[: pool.canary_offset : 64] = bytes(-(-pool.canary_offset // 64))  # its pages
        click.echo(
            f"{preset} in {dtype}, {threads} threads, {rounds} rounds; median ms a step; "
            "ratio: fast / plain, with its range; limit: to read the weights and the KV once, or to "
            "multiply by the layers' weights as fast as torch multiplies large matrices"
        )
        return [measured(case, plain, fast, weights, rounds, seconds) for case in CASES]


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes that a decode step reads, and numbers that each row of a prompt is multiplied by."""

    bytes: int
    layers: int


def load(
    folder: Path, dtype: str, threads: int, *, fast: bool, quantization: str | None = None
) -> tuple[TorchRunner, Weights]:
    config = EngineConfig(block_size=BLOCK, dtype=dtype, threads=threads)
    make_attention = choose_attention("cpu" if fast else "torch", os.environ)
    checkpoint = load_checkpoint(str(folder), dtype)
    weights = weights_of(checkpoint, quantization)
    if fast:
        replace_modules(checkpoint, int8=quantization == "int8", screen=True)
        if screened_head_of(checkpoint.model) is not None:
            click.echo(
                f"its output layer is screened: steps of up to {MOST_ROWS} sequences read half of it, "
                "their limits count it whole"
            )
    masks = GrammarMasks(folder, checkpoint.vocab_size, checkpoint.eos_token_ids)
    return TorchRunner(checkpoint, config, make_attention, masks), weights


def weights_of(checkpoint: Checkpoint, quantization: str | None = None) -> Weights:
    model = checkpoint.model
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    head = checkpoint.vocab_size * model.config.hidden_size
    return Weights(
        sum(linear.weight.numel() if quantization else linear.weight.nbytes for linear in linears),
        sum(linear.weight.numel() for linear in linears) - head,
    )


@contextmanager
def shared_pool(*runners: TorchRunner) -> Iterator[KvPool]:
    with KvPool(runners[0].layout, max(case.sequences * case.blocks for case in CASES)) as pool:
        for runner in runners:
            runner.attach(pool)
        yield pool


def measured(
    case: Case, plain: TorchRunner, fast: TorchRunner, weights: Weights, rounds: int, seconds: float
) -> dict[str, float | str]:
    """Told, too. Times in ms."""
    pairs: list[tuple[float, float]] = []
    limits: list[float] = []
    for number in range(rounds + 1):
        order = (plain, fast) if number % 2 else (fast, plain)
        times = {id(runner): step_time(runner, case.plan, seconds) for runner in order}
        limit = limit_of(case, fast, weights)
        if number:
            pairs.append((times[id(fast)], times[id(plain)]))
            limits.append(limit)
    found = ratio_of(pairs)
    ours, theirs = (median(values) * 1e3 for values in zip(*pairs, strict=True))
    limit = median(limits) * 1e3
    click.echo(
        f"{case.name:<26} fast {ours:8.2f}  plain {theirs:8.2f}  "
        f"ratio {found.median:.3f} ({found.low:.3f} to {found.high:.3f})  "
        f"limit {limit:8.2f}  fast / limit {ours / limit:.2f}"
    )
    return {"case": case.name, "fast": ours, "plain": theirs, "ratio": found.median, "limit": limit}


def limit_of(case: Case, runner: TorchRunner, weights: Weights) -> float:
    """Seconds."""
    if case.rows > 1:
        return 2 * weights.layers * case.sequences * case.rows / multiply_speed(runner)
    context = case.sequences * (case.past + case.rows)
    return (weights.bytes + context * runner.layout.block_bytes // BLOCK) / read_speed()


def step_time(runner: Runner, plan: StepPlan, seconds: float) -> float:
    """Seconds, the median of as many steps as fit, after one that is not measured."""
    runner.run(plan)
    times: list[float] = []
    while not times or sum(times) < seconds:
        times.append(timed(lambda: runner.run(plan)))
    return median(times)


def read_speed() -> float:
    """Bytes a second, all threads together, the best of a few."""
    numbers = torch.ones(READ // 4)
    numbers.sum()
    return READ / min(timed(numbers.sum) for _ in range(3))


def multiply_speed(runner: TorchRunner) -> float:
    """Operations a second, in the model's dtype, the best of a few."""
    matrix = torch.ones(SQUARE, SQUARE, dtype=TORCH_DTYPES[runner.layout.dtype])
    matrix @ matrix
    return 2 * SQUARE**3 / min(timed(lambda: matrix @ matrix) for _ in range(3))


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
