"""How long one step of the engine takes: the C++ kernel and packed layers against plain torch.

python -m benchmarks.engine_step --preset tiny --rounds 7
"""

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
from baton.engine.checkpoint import load_checkpoint
from baton.engine.config import EngineConfig
from baton.engine.grammar_masks import GrammarMasks
from baton.engine.host_cores import available_cores
from baton.engine.kv_pool import KvPool
from baton.engine.plan import Draw, Slice, StepPlan
from baton.engine.torch_runner import TorchRunner, replace_modules
from benchmarks.measures import ratio_of

BLOCK = 16  # tokens
GREEDY = SamplingParams(max_tokens=1, seed=0, temperature=0.0)
READ = 256 << 20  # bytes that are read to find how fast memory is: no cache holds them


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
        return StepPlan(
            tuple(
                Slice(tuple(range(self.rows)), self.past, tuple(range(n, n + self.blocks)), draws)
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
@click.option("--preset", default="tiny", show_default=True, type=click.Choice(["tiny", "small"]))
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--threads", default=available_cores(), show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=0.3, show_default=True, help="Of each measurement, at least.")
def main(preset: str, dtype: str, threads: int, rounds: int, seconds: float) -> None:
    """The two take turns round by round; one more round before them is not measured."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        click.echo(f"making a random {preset} model")
        folder = Path(scratch)
        recipe = PRESETS[preset]
        shape = SHAPES[recipe.shape](recipe.vocab_size, recipe.max_length, 2, 0)
        save_random_weights(shape, folder)
        plain, _ = load(folder, dtype, threads, fast=False)
        fast, weights = load(folder, dtype, threads, fast=True)
    with shared_pool(plain, fast) as pool:
        pool.view[: pool.canary_offset : 64] = bytes(-(-pool.canary_offset // 64))  # its pages
        click.echo(
            f"{preset} in {dtype}, {threads} threads, {rounds} rounds; median ms a step; "
            "ratio: fast / plain, with its range; floor: to read the weights and the KV once"
        )
        for case in CASES:
            click.echo(measured(case, plain, fast, weights, rounds, seconds))


def load(folder: Path, dtype: str, threads: int, *, fast: bool) -> tuple[TorchRunner, int]:
    """The runner, and the bytes of weights that a decode step reads."""
    config = EngineConfig(block_size=BLOCK, dtype=dtype, threads=threads)
    make_attention = choose_attention("cpu" if fast else "torch", os.environ)
    checkpoint = load_checkpoint(str(folder), dtype)
    model = checkpoint.model
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    weights = sum(linear.weight.nbytes for linear in linears)
    if fast:
        replace_modules(checkpoint)
    masks = GrammarMasks(folder, checkpoint.vocab_size, checkpoint.eos_token_ids)
    return TorchRunner(checkpoint, config, make_attention, masks), weights


@contextmanager
def shared_pool(*runners: TorchRunner) -> Iterator[KvPool]:
    with KvPool(runners[0].layout, max(case.sequences * case.blocks for case in CASES)) as pool:
        for runner in runners:
            runner.attach(pool)
        yield pool


def measured(
    case: Case, plain: TorchRunner, fast: TorchRunner, weights: int, rounds: int, seconds: float
) -> str:
    pairs: list[tuple[float, float]] = []
    floors: list[float] = []
    context = case.sequences * (case.past + case.rows)
    moved = weights + context * fast.layout.block_bytes // BLOCK
    for number in range(rounds + 1):
        order = (plain, fast) if number % 2 else (fast, plain)
        times = {id(runner): step_time(runner, case.plan, seconds) for runner in order}
        floor = moved / read_speed()
        if number:
            pairs.append((times[id(fast)], times[id(plain)]))
            floors.append(floor)
    found = ratio_of(pairs)
    ours, theirs = (median(values) * 1e3 for values in zip(*pairs, strict=True))
    read = f"floor {median(floors) * 1e3:8.2f}" if case.rows == 1 else ""
    return (
        f"{case.name:<26} fast {ours:8.2f}  plain {theirs:8.2f}  "
        f"ratio {found.median:.3f} ({found.low:.3f} to {found.high:.3f})  {read}".rstrip()
    )


def step_time(runner: TorchRunner, plan: StepPlan, seconds: float) -> float:
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


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
