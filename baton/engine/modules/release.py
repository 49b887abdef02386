"""Gives back what loading a model took: the files its weights were read from, and the heap's free memory."""

import ctypes

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


def release_heap() -> None:
    """What was freed while a model was loaded, which the C library keeps: some 170 MB for one of 1.2 GB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's alone
    if trim is not None:
        trim(0)
