"""How many held-out answers are right, per skill, by one reading of each.

An answer counts when every token of it is the likeliest after those before it, which is when
greedy decoding writes exactly that answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from demo_model.batches import batch_of
from demo_model.composer import dialogues_of
from demo_model.encode import Encoder, Sample
from demo_model.network import Network

SKILLS = (
    "greetings",
    "about Baton",
    "capitals",
    "arithmetic",
    "times tables",
    "repeat",
    "reverse",
    "sort",
    "count",
    "lists and tables",
    "yes or no",
    "refusals",
    "reading",
    "memory",
    "styles",
    "tool calls",
    "tool results",
    "JSON",
)
_ROWS = 16


@dataclass(frozen=True, slots=True)
class Mark:
    right: int
    asked: int
    wrong: tuple[str, ...]  # keys

    @property
    def share(self) -> float:
        return self.right / self.asked


def examine(network: Network, encoder: Encoder, count: int, seed: int) -> dict[str, Mark]:
    """`count` dialogues of each skill."""
    marks = {}
    for skill in SKILLS:
        made = dialogues_of(skill, count, seed)
        right = _right(network, [encoder.sample_of(one) for one in made])
        wrong = tuple(one.key for one, good in zip(made, right, strict=True) if not good)
        marks[skill] = Mark(sum(right), len(made), wrong)
    return marks


def _right(network: Network, samples: Sequence[Sample]) -> list[bool]:
    order = sorted(range(len(samples)), key=lambda index: len(samples[index].ids))
    right = [False] * len(samples)
    for start in range(0, len(order), _ROWS):
        rows = order[start : start + _ROWS]
        batch = batch_of([samples[index] for index in rows])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            guesses = network.logits(network(batch.ids)).argmax(-1)
        for row, index in enumerate(rows):
            right[index] = _as_taught(samples[index], guesses[row].tolist())
    return right


def _as_taught(sample: Sample, guesses: Sequence[int]) -> bool:
    return all(
        guesses[index - 1] == sample.ids[index]
        for index in range(sample.answer_from, len(sample.ids))
        if sample.taught[index]
    )
