"""A model that no oracle test covers is tried at load: paged attention against its own eager one."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.core.errors import SettingsError
from baton.engine.attention import hugging_face
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.kv_shape import MODEL_ERRORS, KvShape
from baton.engine.loading.paged_trial import paged_logits, random_sequences

logger = logging.getLogger(__name__)

# Largest difference of a logit, in standard deviations of the logits: several times what other
# orders of summation were seen to make, and far below what a part left out makes.
TOLERANCE = {torch.float32: 0.002, torch.float16: 0.05, torch.bfloat16: 0.3}
WINDOW = 24  # positions; wider windows are narrowed to it, so that short prompts leave them
_LENGTHS = (45, 38)  # tokens of the two sequences
# Rows of each sequence in each step: chunks on either side of a block and of the window, single
# tokens, and both sequences in one batch.
_STEPS = ((20, 0), (20, 21), (1, 13), (1, 1), (1, 1), (2, 2))


def check_against_eager(model: PreTrainedModel, shape: KvShape) -> None:
    """Raises SettingsError where the logits differ by more than TOLERANCE; logs that they do not.

    Two random prompts go through the model in chunks and single tokens over a paged pool, and
    whole through its own attention implementation.
    """
    name = type(model).__name__
    sequences = random_sequences(shape.vocab_size, _LENGTHS)
    try:
        with torch.inference_mode(), _narrow_windows(model):
            ours = paged_logits(model, shape, sequences, _STEPS, TorchReference)
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
