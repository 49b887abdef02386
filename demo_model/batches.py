"""What each step of the training reads: a function of the seed and the step's number alone."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from demo_model.composer import dialogue
from demo_model.encode import Encoder, Sample
from demo_model.split import Split

LONGEST = 640  # tokens of a dialogue
_ROUND = 16  # lengths are padded to a multiple, so that there are few different ones


@dataclass(frozen=True, slots=True)
class Batch:
    """Dialogues of similar length, a row each, from position 0."""

    ids: Tensor  # [rows, length], int64
    where: Tensor  # [taught], int64: index into rows * length, of the token before
    targets: Tensor  # [taught], int64


def step_batches(
    encoder: Encoder, seed: int, step: int, step_tokens: int, batch_tokens: int
) -> list[Batch]:
    """`step_tokens` tokens in batches of at most `batch_tokens`, padding counted in the latter."""
    rng = random.Random(f"{seed}|{step}")
    samples: list[Sample] = []
    total = 0
    while total < step_tokens:
        sample = encoder.sample_of(dialogue(rng, Split.TRAIN, step))
        if len(sample.ids) <= LONGEST:
            samples.append(sample)
            total += len(sample.ids)
    return batched(samples, batch_tokens)


def batched(samples: Sequence[Sample], batch_tokens: int) -> list[Batch]:
    """The longest first."""
    rows: list[Sample] = []
    batches: list[Batch] = []
    for sample in sorted(samples, key=lambda one: -len(one.ids)):
        if rows and (len(rows) + 1) * _padded(rows[0]) > batch_tokens:
            batches.append(batch_of(rows))
            rows = []
        rows.append(sample)
    return [*batches, batch_of(rows)]


def batch_of(samples: Sequence[Sample]) -> Batch:
    length = max(map(_padded, samples))
    rows = max(2, len(samples))  # of a single one a compiler would make a case of its own
    ids = torch.zeros(rows, length, dtype=torch.int64)
    where: list[int] = []
    targets: list[int] = []
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        for index, taught in enumerate(sample.taught):
            if taught:
                where.append(row * length + index - 1)
                targets.append(sample.ids[index])
    return Batch(ids, torch.tensor(where), torch.tensor(targets))


def _padded(sample: Sample) -> int:
    return -(-len(sample.ids) // _ROUND) * _ROUND
