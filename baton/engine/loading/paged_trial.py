"""Random sequences through a model over a paged pool of their own, to compare what comes out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.engine.attention.choice import MakeAttention
from baton.engine.kv_shape import KvShape, call_model
from baton.engine.plan import Slice, StepPlan

BLOCK = 16  # tokens

Wanted = Callable[[int, int], bool]  # of a position and its sequence's length


@dataclass(frozen=True, slots=True)
class TrialSequence:
    tokens: tuple[int, ...]
    blocks: tuple[int, ...]

    def piece(self, start: int, count: int) -> Slice:
        return Slice(self.tokens[start : start + count], start, self.blocks, ())


def random_sequences(vocab_size: int, lengths: Sequence[int]) -> list[TrialSequence]:
    generator = torch.Generator().manual_seed(0)
    sequences: list[TrialSequence] = []
    first = 0
    for length in lengths:
        tokens = torch.randint(vocab_size, (length,), generator=generator).tolist()
        end = first - (-length // BLOCK)
        # In no order, as a pool in use hands them out.
        sequences.append(TrialSequence(tuple(tokens), tuple(range(end - 1, first - 1, -1))))
        first = end
    return sequences


def paged_logits(
    model: PreTrainedModel,
    shape: KvShape,
    sequences: Sequence[TrialSequence],
    steps: Sequence[Sequence[int]],
    make_attention: MakeAttention,
    wanted: Wanted = lambda position, length: True,
) -> list[Tensor]:
    """Logits of each sequence's wanted positions, float32 [positions, vocabulary].

    `steps` are rows of each sequence in each step, and together every sequence whole.
    """
    num_blocks = sum(len(sequence.blocks) for sequence in sequences)
    size = (num_blocks, shape.num_layers, 2, shape.num_kv_heads, BLOCK, shape.head_dim)
    backend = make_attention(torch.full(size, torch.nan, dtype=model.dtype))
    parts: list[list[Tensor]] = [[] for _ in sequences]
    done = [0] * len(sequences)
    for counts in steps:
        taken = [number for number, count in enumerate(counts) if count]
        plan = StepPlan(tuple(sequences[n].piece(done[n], counts[n]) for n in taken))
        tokens = torch.tensor([token for piece in plan.slices for token in piece.tokens])
        places = [(n, done[n] + row) for n in taken for row in range(counts[n])]
        positions = torch.tensor([position for _, position in places])
        rows = [
            row
            for row, (n, position) in enumerate(places)
            if wanted(position, len(sequences[n].tokens))
        ]
        step = backend.prepare(plan)
        logits = call_model(model, tokens, positions, torch.tensor(rows, dtype=torch.int64), step)
        for row, values in zip(rows, logits.float(), strict=True):
            parts[places[row][0]].append(values)
        for n in taken:
            done[n] += counts[n]
    return [torch.stack(part) for part in parts]
