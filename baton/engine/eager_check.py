"""A model that no oracle test covers is tried at load: paged attention against its own eager one."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.core.errors import SettingsError
from baton.engine.attention import hugging_face
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.kv_shape import MODEL_ERRORS, KvShape, call_model
from baton.engine.plan import Slice, StepPlan

logger = logging.getLogger(__name__)

# Largest difference of a logit, in standard deviations of the logits: several times what other
# orders of summation were seen to make, and far below what a part left out makes.
TOLERANCE = {torch.float32: 0.002, torch.float16: 0.05, torch.bfloat16: 0.3}
BLOCK = 16  # tokens
WINDOW = 24  # positions; wider windows are narrowed to it, so that short prompts leave them
_LENGTHS = (45, 38)  # tokens of the two sequences
# Rows of each sequence in each step: chunks on either side of a block and of the window, single
# tokens, and both sequences in one batch.
_STEPS = ((20, 0), (20, 21), (1, 13), (1, 1), (1, 1), (2, 2))


@dataclass(slots=True)
class _Sequence:
    tokens: tuple[int, ...]
    blocks: tuple[int, ...]
    done: int = 0

    def take(self, count: int) -> Slice:
        piece = Slice(self.tokens[self.done : self.done + count], self.done, self.blocks, ())
        self.done += count
        return piece


def check_against_eager(model: PreTrainedModel, shape: KvShape) -> None:
    """Raises SettingsError where the logits differ by more than TOLERANCE; logs that they do not.

    Two random prompts go through the model in chunks and single tokens over a paged pool, and
    whole through its own attention implementation.
    """
    name = type(model).__name__
    sequences = _random_sequences(shape.vocab_size)
    try:
        with torch.inference_mode(), _narrow_windows(model):
            ours = _paged(model, shape, sequences)
            theirs = _eager(model, [sequence.tokens for sequence in sequences])
    except MODEL_ERRORS as error:
        raise SettingsError(
            f"{name} cannot be tried against its own eager attention "
            f"({type(error).__name__}: {error})"
        ) from error
    difference = _difference(ours, theirs)
    tolerance = TOLERANCE[model.dtype]
    if not difference <= tolerance:  # a NaN is no answer either
        raise SettingsError(
            f"{name} is not supported: with a paged KV cache its logits differ from its own by up "
            f"to {difference:.3g} standard deviations, where {tolerance} may be rounding in "
            f"{str(model.dtype).removeprefix('torch.')}"
        )
    logger.info(
        "%s is no tested family; tried at load its logits differ by at most %.2g standard "
        "deviations (%.2g allowed)",
        name,
        difference,
        tolerance,
    )


def _random_sequences(vocab_size: int) -> list[_Sequence]:
    generator = torch.Generator().manual_seed(0)
    sequences: list[_Sequence] = []
    for number, length in enumerate(_LENGTHS):
        tokens = torch.randint(vocab_size, (length,), generator=generator).tolist()
        per_sequence = -(-length // BLOCK)
        first = number * per_sequence
        # In no order, as a pool in use hands them out.
        blocks = tuple(range(first + per_sequence - 1, first - 1, -1))
        sequences.append(_Sequence(tuple(tokens), blocks))
    return sequences


def _paged(model: PreTrainedModel, shape: KvShape, sequences: Sequence[_Sequence]) -> list[Tensor]:
    """All logits of each sequence, float32 [tokens, vocabulary]."""
    num_blocks = sum(len(sequence.blocks) for sequence in sequences)
    size = (num_blocks, shape.num_layers, 2, shape.num_kv_heads, BLOCK, shape.head_dim)
    backend = TorchReference(torch.full(size, torch.nan, dtype=model.dtype))
    parts: list[list[Tensor]] = [[] for _ in sequences]
    for counts in _STEPS:
        taken = [(n, sequences[n].take(count)) for n, count in enumerate(counts) if count]
        plan = StepPlan(tuple(piece for _, piece in taken))
        tokens = torch.tensor([token for piece in plan.slices for token in piece.tokens])
        positions = torch.cat(
            [torch.arange(piece.start, piece.start + len(piece.tokens)) for piece in plan.slices]
        )
        rows = torch.arange(len(tokens))
        logits = call_model(model, tokens, positions, rows, backend.prepare(plan)).float()
        lengths = [len(piece.tokens) for piece in plan.slices]
        for (number, _), part in zip(taken, torch.split_with_sizes(logits, lengths), strict=True):
            parts[number].append(part)
    return [torch.cat(part) for part in parts]


def _eager(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> list[Tensor]:
    model.set_attn_implementation("eager")
    try:
        return [
            model(input_ids=torch.tensor([prompt]), use_cache=False).logits[0].float()
            for prompt in prompts
        ]
    finally:
        model.set_attn_implementation(hugging_face.NAME)


def _difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest, in standard deviations of `theirs`."""
    reference = torch.cat(list(theirs))
    largest = (torch.cat(list(ours)) - reference).abs().max()
    return float(largest / reference.std())


@contextmanager
def _narrow_windows(model: PreTrainedModel) -> Iterator[None]:
    """Modules know their window, the mask of the eager attention takes it from the config."""
    holders: list[Any] = [model.config, *model.modules()]
    with ExitStack() as stack:
        for holder in holders:
            wide = getattr(holder, "sliding_window", None)
            if isinstance(wide, int) and wide > WINDOW:
                stack.callback(setattr, holder, "sliding_window", wide)
                holder.sliding_window = WINDOW
        yield
