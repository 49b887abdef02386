"""What decoder layers do when their model runs, and whether a stand-in does the same."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from baton.engine.attention.backend import AttentionRule
from baton.engine.kv_shape import call_model

ROWS = (3, 40)  # tokens of the calls: a few, and more than any path for few takes
# In parts of the largest number: queries, keys and values; and what a layer adds.
_TOLERANCE = {
    torch.float32: (1e-4, 1e-4),
    torch.bfloat16: (4 * 2**-7, 8 * 2**-7),
    torch.float16: (4 * 2**-10, 8 * 2**-10),
}


class ProbeStep:
    """An `AttentionStep` that keeps what it is told, and answers with noise as large as the values.

    The noise is the same for whoever asks for the same layer.
    """

    def __init__(self) -> None:
        self.told: list[tuple[int, Tensor, Tensor, Tensor, AttentionRule]] = []

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        self.told.append((layer, query.clone(), key.clone(), value.clone(), rule))
        generator = torch.Generator().manual_seed(layer)
        noise = torch.randn(query.shape, generator=generator)
        scale = float(value.float().square().mean().sqrt())
        return (noise * scale).to(query.dtype)


@dataclass(slots=True)
class LayerCall:
    """One call of a layer, and all that it did."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Tensor
    number: int
    states: tuple[Tensor, Tensor, Tensor]  # queries, keys and values as attention got them
    rule: AttentionRule


@dataclass(slots=True)
class _Recorder:
    step: ProbeStep
    calls: dict[int, LayerCall | None] = field(default_factory=dict)  # by place in the list

    def record(
        self, place: int, args: tuple[Any, ...], kwargs: dict[str, Any], output: object
    ) -> None:
        told = self.step.told
        self.step.told = []
        if len(told) != 1 or not isinstance(output, Tensor):
            self.calls[place] = None
            return
        [(number, *states, rule)] = told
        self.calls[place] = LayerCall(args, kwargs, output.clone(), number, tuple(states), rule)  # type: ignore[arg-type]


def record_calls(
    model: PreTrainedModel, layers: nn.ModuleList, vocab_size: int, rows: int
) -> dict[int, LayerCall | None]:
    """Of each layer what it did in one run of the model on random tokens; None where it attends not
    once.
    """
    recorder = _Recorder(ProbeStep())

    def hook_of(place: int) -> Any:
        def hook(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            recorder.record(place, args, kwargs, output)

        return hook

    hooks = [
        layer.register_forward_hook(hook_of(place), with_kwargs=True)
        for place, layer in enumerate(layers)
    ]
    generator = torch.Generator().manual_seed(rows)
    tokens = torch.randint(vocab_size, (rows,), generator=generator)
    try:
        call_model(model, tokens, torch.arange(rows), torch.tensor([rows - 1]), recorder.step)
    finally:
        for hook in hooks:
            hook.remove()
    return recorder.calls


def difference_from(call: LayerCall, stand_in: nn.Module) -> str | None:
    """None where there is none but rounding."""
    step = ProbeStep()
    output = stand_in(*call.args, **{**call.kwargs, "attention_step": step})
    [(number, *states, rule)] = step.told
    if (number, rule) != (call.number, call.rule):
        return "it attends otherwise"
    before = _hidden(call)
    most, added = _TOLERANCE[before.dtype]
    for name, found, expected in zip(
        ("queries", "keys", "values"), states, call.states, strict=True
    ):
        moved = _moved(found, expected) / float(expected.abs().max())
        if not moved <= most:  # a NaN is no answer either
            return f"its {name} differ by {moved:.2g} ({most:.2g} allowed)"
    rounding = 2 * torch.finfo(before.dtype).eps * float(call.output.abs().max())
    allowed = added * float((call.output - before).abs().max()) + rounding
    moved = _moved(output, call.output)
    if not moved <= allowed:
        return f"what it says differs by {moved:.2g} ({allowed:.2g} allowed)"
    return None


def _hidden(call: LayerCall) -> Tensor:
    states: Tensor = call.args[0] if call.args else call.kwargs["hidden_states"]
    return states


def _moved(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("nan")
    return float((found.float() - expected.float()).abs().max())
