"""Gives back the files that a model's weights were read from, once most of them lie elsewhere."""

import torch
from torch import nn


def weight_bytes(model: nn.Module) -> int:
    return sum(one.nbytes for one in model.parameters() if not one.is_meta)


def release_files(model: nn.Module, loaded: int) -> None:
    """A few weights that are left keep the whole of a checkpoint's file in memory: they are copied.

    `loaded` is what `weight_bytes` was before others were packed.
    """
    if 2 * weight_bytes(model) > loaded:
        return
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.is_meta:
                parameter.data = parameter.detach().clone()
