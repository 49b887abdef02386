"""Steps on a device that follow another: ids go from one to the next without coming to the host."""

import itertools

import torch
from torch import Tensor

from baton.core.errors import InternalError
from baton.engine.machine.device import sent
from baton.engine.plan import StepPlan


def put_in(tokens: Tensor, plan: StepPlan, drawn: Tensor | None) -> None:
    """Into `tokens`, int64 [tokens of the plan and more], what its slices follow: each one's place in
    `drawn`, int64 [draws of the step before]. Waits for nothing. InternalError: nothing was drawn there.
    """
    ends = itertools.accumulate(len(piece.tokens) for piece in plan.slices)
    placed = zip(ends, plan.slices, strict=True)
    pairs = [(end - 1, piece.follows) for end, piece in placed if piece.follows is not None]
    if not pairs:
        return
    if drawn is None:
        raise InternalError("a slice follows a step that has left no ids on the device")
    rows, places = sent(list(zip(*pairs, strict=True)), torch.int64, tokens.device).unbind()
    tokens.index_copy_(0, rows, drawn.index_select(0, places))
