"""What drawing costs a step: plain requests, and the same beside one that asks for everything.

python -m benchmarks.sampler --rounds 15

Logits are random; no model runs. `plain` is a batch of one kind. `beside one` is the same batch with
its last request asking for every sampling field and log-probabilities; what that one costs alone is
taken off before the two are compared, so a ratio of 1 means that the others pay nothing for it.
Times are of the processor, on one thread: those of the clock say what else the machine does.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import click
import torch
from torch import Tensor

from baton.core.sampling_params import SamplingParams
from baton.engine.plan import Draw
from baton.engine.sampling.drawing import Drawing, unsound
from baton.engine.sampling.logits_plugins import LogitsPlugins
from benchmarks.measures import ratio_of

EOS = 151645
PROMPT, ANSWER = 1000, 200  # tokens known of each request
KINDS = {
    "greedy": SamplingParams(max_tokens=2048, seed=1, temperature=0.0),
    "temperature 0.7": SamplingParams(max_tokens=2048, seed=1, temperature=0.7),
    "0.7, top_p 0.8, top_k 20": SamplingParams(2048, 1, 0.7, top_p=0.8, top_k=20),
}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one step, medians of a round."""

    plain: float  # the whole batch is of one kind
    fewer: float  # without the last request
    beside: float  # the last one asks for everything
    alone: float  # that one by itself


@click.command()
@click.option("--batch", default=16, show_default=True, type=click.IntRange(2))
@click.option("--vocab", default=151_936, show_default=True, type=click.IntRange(EOS + 1))
@click.option("--rounds", default=15, show_default=True, type=click.IntRange(1))
@click.option("--steps", default=7, show_default=True, help="Of each batch in a round; the median.")
def main(batch: int, vocab: int, rounds: int, steps: int) -> None:
    """The batches take turns step by step; one round before them is not measured."""
    torch.set_num_threads(1)
    logits = torch.randn(batch, vocab, generator=torch.Generator().manual_seed(0)) * 3
    click.echo(
        f"batch {batch}, vocabulary {vocab}, one thread, {rounds} rounds; median ms a step; "
        "others: (beside one - that one alone) / plain without it, with its range"
    )
    for name, params in KINDS.items():
        click.echo(line(name, [measure(logits, params, steps) for _ in range(rounds + 1)][1:]))


def line(name: str, times: Sequence[Times]) -> str:
    others = ratio_of([(one.beside - one.alone, one.fewer) for one in times])
    plain, beside, alone = (
        median(getattr(one, field) for one in times) * 1e3 for field in ("plain", "beside", "alone")
    )
    return (
        f"{name:<26} plain {plain:7.2f}  beside one {beside:7.2f}  the one alone {alone:7.2f}  "
        f"others {others.median:.3f} ({others.low:.3f} to {others.high:.3f})"
    )


def measure(logits: Tensor, params: SamplingParams, steps: int) -> Times:
    size = len(logits)
    everything = everything_on(params, logits.shape[1])
    plain = draws([params] * size)
    batches = {
        "plain": plain,
        "fewer": plain[:-1],
        "beside": [*plain[:-1], *draws([everything])],
        "alone": draws([everything]),
    }
    drawings = {name: Drawing({EOS}, LogitsPlugins()) for name in batches}
    taken: dict[str, list[float]] = {name: [] for name in batches}
    for step in range(steps + 1):  # in the first one prompts are counted
        for name, batch in batches.items():
            seconds = timed(drawings[name], logits[: len(batch)].clone(), batch)
            if step:
                taken[name].append(seconds)
    return Times(**{name: median(values) for name, values in taken.items()})


def timed(drawing: Drawing, logits: Tensor, batch: Sequence[Draw]) -> float:
    with torch.inference_mode():
        start = time.thread_time()
        drawing.draw(logits, batch, unsound(logits))
        return time.thread_time() - start


def draws(several: Sequence[SamplingParams]) -> list[Draw]:
    tokens = torch.randint(EOS, (PROMPT + ANSWER,), generator=torch.Generator().manual_seed(1))
    known = tokens.tolist()
    return [
        Draw(0, len(known), params, f"{index}/{id(params)}", known, PROMPT)
        for index, params in enumerate(several)
    ]


def everything_on(params: SamplingParams, vocab: int) -> SamplingParams:
    return replace(
        params,
        min_p=0.0 if params.greedy else 0.01,
        min_tokens=2048,
        stop_token_ids=(5, 6, 7),
        repetition_penalty=1.1,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logit_bias=tuple((token, 0.5) for token in range(0, 3000, 10)),
        allowed_token_ids=tuple(range(vocab - 1000)),
        bad_words=tuple((token, token + 1) for token in range(100)),
        logprobs=20,
    )


if __name__ == "__main__":
    main()
