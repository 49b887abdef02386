"""The parts of a decoder layer, found by how it is built. What it computes with them is found out by
comparing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from baton.engine.kv_shape import KvShape
from baton.engine.modules.kernels import Kernels
from baton.engine.modules.norm import KernelNorm, kernel_norm
from baton.engine.vision.tower import language_modules

# What the norms of a layer are called that stand before attention, after it, before the MLP and after
# it, by the names that the layer has: one and the same means another place where others stand beside.
_NORMS: dict[frozenset[str], tuple[str | None, ...]] = {
    frozenset(name for name in places if name): places
    for places in (
        ("input_layernorm", None, "post_attention_layernorm", None),
        (None, "post_attention_layernorm", None, "post_feedforward_layernorm"),
        (
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ),
    )
}


def _gelu_tanh(numbers: Tensor) -> Tensor:
    return gelu(numbers, approximate="tanh")


_ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (silu, _gelu_tanh)  # in the kernel's order


class UnknownLayerError(Exception):
    """A layer is built in some other way; says which."""


@dataclass(frozen=True, slots=True)
class LayerParts:
    qkv: tuple[nn.Linear, ...]  # queries, keys and values, or one of all
    out: nn.Linear
    gate_up: tuple[nn.Linear, ...]
    down: nn.Linear
    # In the kernel's order: before attention, of each query, of each key, of what attention adds,
    # before the MLP, of what the MLP adds.
    norms: tuple[KernelNorm | None, ...]
    heads: int
    kv_heads: int
    head_dim: int
    activation: int
    residual: float  # what is added is multiplied by it


def decoder_layers(model: Any) -> nn.ModuleList | None:
    """The one list of as many modules as the model says that it has layers."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    found = [
        module
        for module in language_modules(model)
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    return found[0] if len(found) == 1 else None


def parts_of(layer: nn.Module, shape: KvShape, kernels: Kernels) -> LayerParts:
    """Raises UnknownLayerError. Nothing that has weights is left out."""
    children = dict(layer.named_children())
    attention, mlp = children.get("self_attn"), children.get("mlp")
    if attention is None or mlp is None:
        raise UnknownLayerError("it has no self_attn or no mlp")
    own = dict(attention.named_children())
    qkv = _linears(own, ("q_proj", "k_proj", "v_proj"), ("qkv_proj",))
    (out,) = _linears(own, ("o_proj",))
    gates = dict(mlp.named_children())
    gate_up = _linears(gates, ("gate_proj", "up_proj"), ("gate_up_proj",))
    (down,) = _linears(gates, ("down_proj",))
    norms = _norms(children, kernels)
    query, key = (_norm(own.get(name), kernels) for name in ("q_norm", "k_norm"))
    heads = _heads(sum(linear.out_features for linear in qkv), out, shape)
    parts = LayerParts(
        qkv=qkv,
        out=out,
        gate_up=gate_up,
        down=down,
        norms=(norms[0], query, key, *norms[1:]),
        heads=heads,
        kv_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        activation=_activation(gates),
        residual=float(getattr(layer, "residual_multiplier", 1.0)),
    )
    _check_whole(layer, parts)
    return parts


def _linears(children: dict[str, nn.Module], *ways: tuple[str, ...]) -> tuple[nn.Linear, ...]:
    for names in ways:
        found = [children.get(name) for name in names]
        linears = tuple(one for one in found if type(one) is nn.Linear)
        if len(linears) == len(names):
            biases = {linear.bias is None for linear in linears}
            if len(biases) > 1 or any(linear.in_features % 2 for linear in linears):
                break
            return linears
    raise UnknownLayerError(f"it has no linear layers {' or '.join(map(', '.join, ways))}")


def _norms(children: dict[str, nn.Module], kernels: Kernels) -> list[KernelNorm | None]:
    names = frozenset(name for name in children if "norm" in name)
    places = _NORMS.get(names)
    if places is None:
        raise UnknownLayerError(f"its norms are {', '.join(sorted(names))}")
    return [_norm(children[name] if name else None, kernels) for name in places]


def _norm(module: nn.Module | None, kernels: Kernels) -> KernelNorm | None:
    if module is None:
        return None
    norm = kernel_norm(module, kernels)
    if norm is None:
        raise UnknownLayerError(f"its {type(module).__name__} is no RMS norm")
    return norm


def _heads(outputs: int, out: nn.Linear, shape: KvShape) -> int:
    heads, rest = divmod(out.in_features, shape.head_dim)
    if rest or outputs != (heads + 2 * shape.num_kv_heads) * shape.head_dim:
        raise UnknownLayerError("its projections are not of whole heads")
    return heads


def _activation(gates: dict[str, nn.Module]) -> int:
    """Recognised by its values."""
    functions = [module for module in gates.values() if not list(module.parameters())]
    if len(functions) != 1:
        raise UnknownLayerError("its MLP has not just one activation")
    numbers = torch.linspace(-8, 8, 257)
    for kind, known in enumerate(_ACTIVATIONS):
        if torch.allclose(functions[0](numbers), known(numbers), rtol=1e-4, atol=1e-5):
            return kind
    raise UnknownLayerError(f"its activation is {type(functions[0]).__name__}")


def _check_whole(layer: nn.Module, parts: LayerParts) -> None:
    known = {id(tensor) for tensor in _weights(parts)}
    for name, parameter in layer.named_parameters():
        if id(parameter) not in known:
            raise UnknownLayerError(f"it has a {name}")


def _weights(parts: LayerParts) -> Iterator[Tensor | None]:
    for linear in (*parts.qkv, parts.out, *parts.gate_up, parts.down):
        yield from (linear.weight, linear.bias)
    for norm in parts.norms:
        if norm is not None:
            yield norm.weight
