"""Puts the kernels' modules into a model's places, where they do what the model's own did."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from baton.engine.kv_shape import KvShape
from baton.engine.modules.decoder_layer import KernelDecoderLayer
from baton.engine.modules.kernels import DTYPES, Kernels
from baton.engine.modules.layer_check import ROWS, LayerCall, difference_from, record_calls
from baton.engine.modules.layer_parts import (
    LayerParts,
    UnknownLayerError,
    decoder_layers,
    parts_of,
)
from baton.engine.modules.linear import KernelLinear, PackedEmbedding
from baton.engine.modules.linear_check import difference
from baton.engine.modules.norm import KernelNorm, kernel_norm
from baton.engine.modules.quantised import round_weights
from baton.engine.modules.workspace import LayerSizes, Workspace
from baton.engine.vision.tower import language_modules

logger = logging.getLogger(__name__)

# Of a linear layer, in parts of its largest output: two steps of the dtype, or other sums' rounding.
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-6, torch.float16: 2**-9}
_ROWS = (4, 1, 64)  # that a linear layer is compared on: the first each one, the others each shape


def swap_modules(model: PreTrainedModel, shape: KvShape, kernels: Kernels) -> None:
    """Decoder layers as a whole where they are recognised; else, and beside them, linear layers and
    norms. What comes out differently is left as it was, with a line in the log.

    Weights of what is replaced are dropped. `model` routes its attention to an `attention_step`.
    """
    if model.dtype not in DTYPES:
        return
    with torch.inference_mode():
        if kernels.int8:  # before anything is compared: what is left as it was computes the same
            _round_weights(model)
        layers = _swap_layers(model, shape, kernels)
        linears = _swap_linears(model, kernels)
        norms = _swap_norms(model, kernels)
    logger.info(
        "C++ kernels run %d decoder layers, and %d linear layers and %d norms beside them",
        *(layers, linears, norms),
    )


def _round_weights(model: PreTrainedModel) -> None:
    names = {one: name for name, one in model.named_modules()}
    every = {names[one] for one in language_modules(model) if isinstance(one, nn.Linear)}
    linears = [linear for _, _, linear in _linears(model)]
    kept = sorted(every.difference(names[linear] for linear in linears))
    logger.info(
        "%d linear layers have int8 weights; the others keep theirs: %s",
        *(round_weights(linears), ", ".join(kept) or "there are none"),
    )


def _swap_layers(model: PreTrainedModel, shape: KvShape, kernels: Kernels) -> int:
    layers = decoder_layers(model)
    if layers is None:
        return 0
    runs = [record_calls(model, layers, shape.vocab_size, rows) for rows in ROWS]
    workspaces: dict[LayerSizes, Workspace] = {}
    reasons: Counter[str] = Counter()
    for place, layer in enumerate(list(layers)):
        try:
            calls = [_usable(run.get(place)) for run in runs]
            parts = parts_of(layer, shape, kernels)
        except UnknownLayerError as error:
            reasons[str(error)] += 1
            continue
        space = workspaces.setdefault(_sizes(parts), Workspace(_sizes(parts)))
        first = calls[0]
        stand_in = KernelDecoderLayer(layer, parts, kernels, space, first.number, first.rule)
        differences = [difference_from(call, stand_in) for call in calls]
        wrong = next((difference for difference in differences if difference), None)
        if wrong:
            reasons[wrong] += 1
            continue
        layers[place] = stand_in
        if place == list(runs[0])[-1]:  # they were called in this order
            stand_in.stand_last()
    for reason, count in reasons.items():
        logger.warning(
            "%d of %d decoder layers (%s) are not replaced as a whole: %s",
            *(count, len(layers), type(model).__name__, reason),
        )
    return sum(isinstance(layer, KernelDecoderLayer) for layer in layers)


def _usable(call: LayerCall | None) -> LayerCall:
    if call is None or call.kwargs.get("position_embeddings") is None:
        raise UnknownLayerError("it is not called with rotary positions, or attends not once")
    cos, sin = call.kwargs["position_embeddings"]
    states = call.states[0]
    if cos.dtype != states.dtype or cos.shape != sin.shape or cos.shape[:2] != (1, len(states)):
        raise UnknownLayerError("its rotary positions are of another dtype or shape")
    return call


def _sizes(parts: LayerParts) -> LayerSizes:
    return LayerSizes(
        parts.out.out_features,
        parts.heads,
        parts.kv_heads,
        parts.head_dim,
        parts.down.in_features,
        parts.out.weight.dtype,
    )


def _swap_linears(model: Any, kernels: Kernels) -> int:
    tried: set[tuple[int, int, bool]] = set()
    replaced = 0
    for parent, name, linear in list(_linears(model)):
        kind = (linear.in_features, linear.out_features, linear.bias is not None)
        stand_in = KernelLinear(linear, kernels)
        moved = difference(linear, stand_in, _ROWS[:1] if kind in tried else _ROWS)
        tried.add(kind)
        allowed = _TOLERANCE[linear.weight.dtype]
        if not moved <= allowed:  # a NaN is no answer either
            logger.warning(
                "%s of %d x %d is left as it was: in C++ it differs by %.2g (%.2g allowed)",
                *(name, linear.out_features, linear.in_features, moved, allowed),
            )
            continue
        _swap_embedding(model, linear, stand_in)
        setattr(parent, name, stand_in)
        replaced += 1
    return replaced


def _linears(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Of just this class: a subclass may compute something else."""
    for parent in language_modules(model):
        for name, child in parent.named_children():
            if type(child) is not nn.Linear or child.weight.dtype not in DTYPES:
                continue
            if child.in_features % 2 == 0:  # bfloat16 is read in pairs
                yield parent, name, child


def _swap_embedding(model: Any, linear: nn.Linear, stand_in: KernelLinear) -> None:
    """An embedding that shares the layer's weight reads it where it is packed."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Embedding) and child.weight is linear.weight:
                tokens = torch.arange(min(100, child.num_embeddings))[None]
                expected: Tensor = child(tokens)
                weight = child.weight
                packed = PackedEmbedding(child, stand_in.packed)
                if torch.equal(packed(tokens), expected):
                    setattr(parent, name, packed)
                else:
                    child.weight = weight
                    logger.warning("%s keeps a copy of the weights of the output layer", name)


def _swap_norms(model: nn.Module, kernels: Kernels) -> int:
    replaced = 0
    for parent in list(language_modules(model)):
        if isinstance(parent, KernelDecoderLayer):
            continue
        for name, child in list(parent.named_children()):
            if "norm" not in type(child).__name__.lower() or isinstance(parent, KernelNorm):
                continue
            norm = kernel_norm(child, kernels)
            if norm is not None:
                setattr(parent, name, norm)
                replaced += 1
    return replaced
