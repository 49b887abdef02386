"""How long attention of one layer takes: the C++ kernel, plain torch, and what the machine can do.

python -m benchmarks.attention --threads 2 --dtype bfloat16
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import click
import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionBackend, AttentionRule
from baton.engine.attention.cpu_kernel import CpuKernel
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.kernel_build import LEVELS, default_recipe, load_kernels
from baton.engine.machine.host_cores import available_cores
from baton.engine.plan import Slice, StepPlan
from benchmarks.measures import ratio_of

BLOCK = 16  # tokens
LAYERS = 4  # of the pool, taken in turns: what one has left in the caches does not help the next
READ = 256 << 20  # bytes that are read to find how fast memory is: no cache holds them
SQUARE = 1024  # rows and columns of the matrices whose product's speed is the limit of a prompt
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Shape:
    heads: int
    kv_heads: int
    dim: int
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class Case:
    """`rows` tokens of each of `sequences`, after `past` tokens."""

    sequences: int
    rows: int
    past: int

    def __str__(self) -> str:
        if self.rows == 1:
            return f"decode, {self.sequences} x context {self.past + 1}"
        return f"prefill, {self.rows} after {self.past}"

    @property
    def blocks(self) -> int:
        """Of one sequence."""
        return -(-(self.past + self.rows) // BLOCK)

    def plan(self) -> StepPlan:
        """Blocks lie anywhere in the pool, as they do after some time."""
        free = list(range(self.sequences * self.blocks))
        random.Random(0).shuffle(free)
        tables = (free[n : n + self.blocks] for n in range(0, len(free), self.blocks))
        return StepPlan(
            tuple(Slice((0,) * self.rows, self.past, tuple(table), ()) for table in tables)
        )

    def flops(self, shape: Shape) -> float:
        """Of both products, for the pairs of a row and a position that it sees."""
        pairs = self.rows * self.past + self.rows * (self.rows + 1) / 2
        return 4 * self.sequences * pairs * shape.heads * shape.dim

    def bytes_read(self, shape: Shape) -> float:
        entry = 2 * shape.kv_heads * shape.dim * shape.dtype.itemsize
        return self.sequences * (self.past + self.rows) * entry


PREFILL = (
    Case(1, 512, 0),
    *(Case(1, rows, 2048 - rows) for rows in (512, 256, 128, 64, 32, 16)),
)
DECODE = tuple(Case(batch, 1, context - 1) for context in (512, 2048) for batch in (1, 4, 16))


@click.command()
@click.option("--dtype", default="bfloat16", show_default=True, type=click.Choice([*DTYPES]))
@click.option("--heads", default=16, show_default=True)
@click.option("--kv-heads", default=8, show_default=True)
@click.option("--head-dim", default=128, show_default=True)
@click.option("--level", type=click.Choice([*LEVELS]), help="Of instructions; the best by default.")
@click.option("--threads", default=available_cores(), show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=0.1, show_default=True, help="Of each measurement, at least.")
def main(
    dtype: str,
    heads: int,
    kv_heads: int,
    head_dim: int,
    level: str | None,
    threads: int,
    rounds: int,
    seconds: float,
) -> None:
    """All take turns round by round; one more round before them is not measured."""
    torch.set_num_threads(threads)
    recipe = default_recipe(os.environ)
    recipe = replace(recipe, level=level or recipe.level)
    kernels = load_kernels(recipe, click.echo)
    shape = Shape(heads, kv_heads, head_dim, DTYPES[dtype])
    click.echo(
        f"{heads} heads, {kv_heads} KV heads of {head_dim}, {dtype}, {recipe.level}, {threads} threads, "
        f"{rounds} rounds; median ms a layer; limit: the same FLOPs in a large matrix product, or the "
        "same bytes read in a row; ratios with their range"
    )
    for case in (*PREFILL, *DECODE):
        kernel = bound(lambda pool: CpuKernel(pool, kernels), case, shape)
        click.echo(
            measured(case, shape, kernel, bound(TorchReference, case, shape), rounds, seconds)
        )


def bound(
    make: Callable[[Tensor], AttentionBackend], case: Case, shape: Shape
) -> Callable[[], None]:
    """Attention of all layers, one after the other."""
    kv = (shape.kv_heads, BLOCK, shape.dim)
    pool = torch.randn(case.sequences * case.blocks, LAYERS, 2, *kv).to(shape.dtype)
    step = make(pool).prepare(case.plan())
    rows = case.sequences * case.rows
    query = torch.randn(rows, shape.heads, shape.dim).to(shape.dtype)
    key = torch.randn(rows, shape.kv_heads, shape.dim).to(shape.dtype)
    rule = AttentionRule(shape.dim**-0.5)

    def act() -> None:
        for layer in range(LAYERS):
            step.forward(layer, query, key, key, rule)

    return act


def measured(
    case: Case,
    shape: Shape,
    kernel: Callable[[], None],
    reference: Callable[[], None],
    rounds: int,
    seconds: float,
) -> str:
    floors: list[tuple[float, float]] = []
    others: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        order = (kernel, reference) if number % 2 else (reference, kernel)
        times = {id(act): repeated(act, seconds) / LAYERS for act in order}
        if case.rows == 1:
            limit = case.bytes_read(shape) / read_speed()
        else:
            limit = case.flops(shape) / product_speed(shape.dtype)
        if number:
            floors.append((times[id(kernel)], limit))
            others.append((times[id(kernel)], times[id(reference)]))
    ours, limit = (median(values) for values in zip(*floors, strict=True))
    rate = (
        f"{case.bytes_read(shape) / ours / 1e9:7.1f} GB/s"
        if case.rows == 1
        else f"{case.flops(shape) / ours / 1e9:6.0f} GFLOP/s"
    )
    over, beside = ratio_of(floors), ratio_of(others)
    return (
        f"{case!s:<26} {ours * 1e3:8.3f} ms {rate:<14} "
        f"of the limit {over.median:.2f} ({over.low:.2f} to {over.high:.2f})  "
        f"of torch {beside.median:.3f} ({beside.low:.3f} to {beside.high:.3f})"
    )


def repeated(act: Callable[[], object], seconds: float) -> float:
    """Seconds, the median of as many as fit, after one that is not measured."""
    act()
    times: list[float] = []
    while not times or sum(times) < seconds:
        times.append(timed(act))
    return median(times)


def read_speed() -> float:
    """Bytes a second, all threads together, the best of a few."""
    numbers = torch.ones(READ // 4)
    numbers.sum()
    return READ / min(timed(numbers.sum) for _ in range(3))


def product_speed(dtype: torch.dtype) -> float:
    """FLOPs a second of a matrix product, the best of a few; of float16, which torch computes slowly
    on many CPUs, the speed of float32."""
    square = torch.randn(SQUARE, SQUARE).to(torch.float32 if dtype == torch.float16 else dtype)
    torch.mm(square, square)
    return 2 * SQUARE**3 / min(timed(lambda: torch.mm(square, square)) for _ in range(3))


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
