"""What the model is given of a step: the tokens of all slices in one row, and where they stand."""

from typing import Any

import torch
from torch import Tensor

from baton.core.errors import BatonError, UnavailableError
from baton.core.prompt_images import rope_positions
from baton.engine.plan import Slice, StepPlan


def flat_tokens(plan: StepPlan) -> Tensor:
    """int64 [tokens]."""
    return torch.tensor([token for piece in plan.slices for token in piece.tokens])


def flat_positions(plan: StepPlan) -> Tensor:
    """int64 [tokens], or time, height and width, [3, tokens], where some are of an image."""
    if not any(piece.images for piece in plan.slices):
        return torch.tensor([p for s in plan.slices for p in range(s.start, s.end)])
    rows: list[list[int]] = [[], [], []]
    for piece in plan.slices:
        found = rope_positions(piece.images, piece.start, len(piece.tokens))
        for row, more in zip(rows, found, strict=True):
            row += more
    positions = torch.tensor(rows)
    if any(piece.images_here for piece in plan.slices):
        return positions
    return positions[0]  # of text all three are the same


def flat_embeddings(plan: StepPlan, model: Any, tokens: Tensor) -> Tensor | None:
    """[tokens, hidden], the images' own where they stand; None where the step has none of them."""
    if not any(piece.images_here and piece.embeddings for piece in plan.slices):
        return None
    embeddings: Tensor = model.get_input_embeddings()(tokens[None])[0]
    offset = 0
    for piece in plan.slices:
        for number in piece.images_here if piece.embeddings else ():
            image = piece.images[number]
            first, end = max(image.start, piece.start), min(image.end, piece.end)
            seen = piece.embeddings[number][first - image.start : end - image.start]
            at = offset + first - piece.start
            embeddings[at : at + len(seen)] = seen
        offset += len(piece.tokens)
    return embeddings


def unseen(piece: Slice) -> BatonError | None:
    """Why what is computed for the slice cannot be used: it has tokens of an image that nobody
    encoded here.
    """
    if not piece.images_here or piece.embeddings:
        return None
    return UnavailableError(
        "the answer lost its KV blocks to others, and its images were never here to compute them again"
    )
