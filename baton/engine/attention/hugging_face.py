"""The one place where transformers' models call into a paged attention backend."""

from torch import Tensor, nn
from transformers import AttentionInterface

from baton.engine.attention.backend import AttentionRule, AttentionStep

NAME = "baton_paged"


def register() -> None:
    """Makes `NAME` an attention implementation; again and again is fine.

    There is no mask function under that name, so no model builds a mask.
    """
    AttentionInterface.register(NAME, paged_attention)


def paged_attention(
    module: nn.Module,
    query: Tensor,  # [1, heads, tokens, head_dim]
    key: Tensor,  # [1, kv_heads, tokens, head_dim]
    value: Tensor,
    attention_mask: None,
    *,
    scaling: float,
    attention_step: AttentionStep,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """`attention_step` is a keyword of the model's forward; the result is [1, tokens, heads, dim]."""
    layer = module.layer_idx
    assert isinstance(layer, int)
    rows = [states[0].transpose(0, 1) for states in (query, key, value)]
    rule = AttentionRule(scaling, sliding_window, softcap)
    return attention_step.forward(layer, rows[0], rows[1], rows[2], rule)[None], None
