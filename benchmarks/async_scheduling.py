"""What an engine on a CPU writes in a second with the next step begun before the last is told, against
one that waits for each step; and what the host has to do between two steps, for which a device would
wait.

python -m benchmarks.async_scheduling --preset tiny --sequences 32 --rounds 9
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
import torch

from baton.cluster.model_presets import PRESETS
from baton.cluster.model_weights import SHAPES, save_random_weights
from baton.core.block_hashes import Hashing
from baton.core.sampling_params import SamplingParams
from baton.engine.blocks.block_pool import BlockPool
from baton.engine.config import OFF, ON, EngineConfig
from baton.engine.engine import Engine
from baton.engine.limits import Limits
from baton.engine.machine.host_cores import available_cores
from baton.engine.plan import Drawn, SliceResult
from baton.engine.runners.torch_runner import load_torch_runner
from baton.engine.scheduling.scheduler import Scheduler
from baton.engine.work import EngineEvent, Mode, TokensDrawn, Work, WorkDone, WorkFailed
from benchmarks.measures import ratio_of

MODES = (ON, OFF)


@click.command()
@click.option("--preset", default="tiny", show_default=True, type=click.Choice(["tiny", "small"]))
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--threads", default=available_cores(), show_default=True, type=click.IntRange(1))
@click.option("--sequences", default=32, show_default=True, type=click.IntRange(1))
@click.option("--prompt", default=128, show_default=True, help="Tokens of each.")
@click.option("--answer", default=96, show_default=True, help="Tokens of each.")
@click.option("--temperature", default=0.0, show_default=True)
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(1))
def main(
    preset: str,
    dtype: str,
    threads: int,
    sequences: int,
    prompt: int,
    answer: int,
    temperature: float,
    rounds: int,
) -> None:
    """The two take turns round by round; one more round before them is not measured."""
    config = EngineConfig(
        dtype=dtype, threads=threads, max_num_seqs=sequences, enable_prefix_caching=False
    )
    params = SamplingParams(answer, seed=1, temperature=temperature, ignore_eos=True)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = random_model(preset, Path(scratch))
        engines = {
            mode: stack.enter_context(running(folder, replace(config, async_scheduling=mode)))
            for mode in MODES
        }
        pairs = []
        for number in range(rounds + 1):
            order = MODES if number % 2 else MODES[::-1]
            seconds = {mode: written(engines[mode], sequences, prompt, params) for mode in order}
            if number:
                pairs.append((seconds[ON], seconds[OFF]))
    found = ratio_of(pairs)
    ours, theirs = (median(each) for each in zip(*pairs, strict=True))
    steps = answer - 1
    host = median(between_steps(sequences, prompt, params) for _ in range(rounds))
    click.echo(
        f"{preset} in {dtype}, {threads} threads of {os.cpu_count()} CPUs, torch {torch.__version__}, "
        f"{sequences} sequences of {prompt} + {answer} tokens, temperature {temperature}, {rounds} rounds\n"
        f"on {ours / steps * 1e3:.2f} ms a step, off {theirs / steps * 1e3:.2f}; "
        f"tokens a second, on / off: {1 / found.median:.3f} ({1 / found.high:.3f} to {1 / found.low:.3f})\n"
        f"deciding, telling and the rest of a step without its model: {host * 1e3:.2f} ms"
    )


def random_model(preset: str, folder: Path) -> Path:
    recipe = PRESETS[preset]
    save_random_weights(SHAPES[recipe.shape](recipe.vocab_size, recipe.max_length, 2, 0), folder)
    return folder


@contextmanager
def running(folder: Path, config: EngineConfig) -> Iterator[Engine]:
    engine = Engine(load_torch_runner(str(folder), config), config)
    engine.start()
    try:
        yield engine
    finally:
        engine.close()


def between_steps(sequences: int, prompt: int, params: SamplingParams) -> float:
    """Seconds a step of an engine whose model takes no time."""
    block_size = 16
    blocks = -(-(prompt + params.max_tokens) // block_size) * sequences
    limits = Limits(
        block_size=block_size,
        max_num_seqs=sequences,
        max_num_batched_tokens=sequences * prompt,
        max_mixed_prompt_tokens=sequences * prompt,
        max_model_len=prompt + params.max_tokens,
        vocab_size=1000,
        eos_token_ids=frozenset(),
        num_blocks=blocks,
    )
    hashing = Hashing("benchmark", block_size)
    scheduler = Scheduler(BlockPool(blocks), limits, hashing)
    for number in range(sequences):
        work = Work(f"w{number}", (number,) * prompt, params, Mode.GENERATE)
        scheduler.submit(work)
    began, steps = 0.0, 0
    while (decision := scheduler.schedule()).plan.slices:
        drawn = [SliceResult(tuple(Drawn(5) for _ in s.draws)) for s in decision.plan.slices]
        scheduler.postprocess(decision.plan, drawn)
        steps += 1
        began = began or time.perf_counter()  # behind the step that reads the prompts
    return (time.perf_counter() - began) / (steps - 1)


def written(engine: Engine, sequences: int, prompt: int, params: SamplingParams) -> float:
    """Seconds from the moment that every sequence has its first token to the end of the last one."""
    crowd = Crowd(sequences)
    for number in range(sequences):
        tokens = tuple((number * 31 + place * 7) % 1000 for place in range(prompt))
        work = Work(f"w{number}", tokens, replace(params, seed=number), Mode.GENERATE)
        engine.submit(work, crowd.reader())
    return crowd.seconds()


class Crowd:
    """The sinks of all, each on the engine's thread."""

    def __init__(self, size: int) -> None:
        self._unread, self._running = size, size
        self._began = self._ended = 0.0
        self._over = threading.Event()
        self._failed = False

    def reader(self) -> "Reader":
        return Reader(self)

    def first_token(self) -> None:
        self._unread -= 1
        if not self._unread:
            self._began = time.perf_counter()

    def end(self, failed: bool) -> None:
        self._running -= 1
        self._failed |= failed
        if not self._running:
            self._ended = time.perf_counter()
            self._over.set()

    def seconds(self) -> float:
        self._over.wait()
        if self._failed:
            raise click.ClickException("an answer failed")
        return self._ended - self._began


class Reader:
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._reads = False

    def __call__(self, event: EngineEvent) -> None:
        if isinstance(event, TokensDrawn) and not self._reads:
            self._reads = True
            self._crowd.first_token()
        if isinstance(event, WorkDone | WorkFailed):
            self._crowd.end(isinstance(event, WorkFailed))


if __name__ == "__main__":
    main()
