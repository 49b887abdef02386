"""How exact each mode is, and what the promise of equal bits costs: kernel noise and flips of the best
token between ways to compute the same positions, and step times in turns.

python -m benchmarks.exactness --preset tiny --dtype bfloat16
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import torch

from baton.cluster.model_presets import PRESETS
from baton.cluster.model_weights import SHAPES, save_random_weights
from baton.engine.attention.choice import MakeAttention, choose_attention
from baton.engine.config import EngineConfig
from baton.engine.loading.checkpoint import Checkpoint, load_checkpoint
from baton.engine.loading.paged_trial import paged_logits, random_sequences
from baton.engine.machine.host_cores import available_cores
from baton.engine.runners.torch_runner import TorchRunner, replace_modules
from baton.engine.sampling.grammar_masks import GrammarMasks
from benchmarks.engine import BLOCK, CASES, shared_pool, step_time
from benchmarks.measures import ratio_of

MODES = ("plain torch", "default", "batch-invariant")
LENGTHS = (300, 70, 41)  # tokens
WAYS = {
    "in one batch": ((300, 70, 41),),
    "token by token": (
        *((1, 1, 1),) * 41,
        *((1, 1, 0),) * 29,
        *((1, 0, 0),) * 230,
    ),
}
ALONE = ((300, 0, 0), (0, 70, 0), (0, 0, 41))


@dataclass(frozen=True, slots=True)
class Mode:
    name: str
    checkpoint: Checkpoint
    make_attention: MakeAttention
    runner: TorchRunner


@click.command()
@click.option("--preset", default="tiny", show_default=True, type=click.Choice(["tiny", "small"]))
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--threads", default=available_cores(), show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=7, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=0.2, show_default=True, help="Of each measurement, at least.")
def main(preset: str, dtype: str, threads: int, rounds: int, seconds: float) -> None:
    """Noise is in standard deviations of the logits, a flip is another best token at a position."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recipe = PRESETS[preset]
        shape = SHAPES[recipe.shape](recipe.vocab_size, recipe.max_length, 2, 0)
        save_random_weights(shape, folder)
        modes = [load(name, folder, dtype, threads) for name in MODES]
    click.echo(f"{preset} in {dtype}, {threads} threads; against each sequence alone and whole")
    with torch.inference_mode():
        for mode in modes:
            tell_noise(mode)
    tell_cost(modes[1].runner, modes[2].runner, rounds, seconds)


def load(name: str, folder: Path, dtype: str, threads: int) -> Mode:
    config = EngineConfig(block_size=BLOCK, dtype=dtype, threads=threads)
    make_attention = choose_attention("torch" if name == "plain torch" else "cpu", os.environ)
    checkpoint = load_checkpoint(str(folder), dtype)
    if name != "plain torch":
        replace_modules(checkpoint, matrix_units=name == "default")
    masks = GrammarMasks(folder, checkpoint.vocab_size, checkpoint.eos_token_ids)
    runner = TorchRunner(checkpoint, config, make_attention, masks)
    return Mode(name, checkpoint, make_attention, runner)


def tell_noise(mode: Mode) -> None:
    model, shape = mode.checkpoint.model, mode.checkpoint.kv_shape
    sequences = random_sequences(shape.vocab_size, LENGTHS)
    alone = torch.cat(paged_logits(model, shape, sequences, ALONE, mode.make_attention))
    for way, steps in WAYS.items():
        other = torch.cat(paged_logits(model, shape, sequences, steps, mode.make_attention))
        noise = float((other - alone).abs().max() / alone.std())
        flips = int((other.argmax(dim=1) != alone.argmax(dim=1)).sum())
        changed = int((other != alone).any(dim=1).sum())
        click.echo(
            f"{mode.name:<16} {way:<15} noise {noise:.2e}  flips {flips} of {len(alone)}  "
            f"positions with other bits {changed}"
        )


def tell_cost(default: TorchRunner, promised: TorchRunner, rounds: int, seconds: float) -> None:
    """The two take turns; one more round before them is not measured."""
    with shared_pool(default, promised):
        for case in CASES:
            if case.past > 1000:
                continue
            pairs: list[tuple[float, float]] = []
            for number in range(rounds + 1):
                order = (default, promised) if number % 2 else (promised, default)
                times = {id(runner): step_time(runner, case.plan, seconds) for runner in order}
                if number:
                    pairs.append((times[id(promised)], times[id(default)]))
            found = ratio_of(pairs)
            click.echo(
                f"{case.name:<26} batch-invariant / default {found.median:.3f} "
                f"({found.low:.3f} to {found.high:.3f})"
            )


if __name__ == "__main__":
    main()
