"""The network as it is trained: Qwen3 under Hugging Face's own weight names, and nothing else.

A test holds it to transformers' Qwen3ForCausalLM. It is here because it trains faster on a CPU.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from demo_model.shape import Shape


class Norm(nn.Module):
    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.epsilon)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.groups = shape.heads // shape.kv_heads
        self.q_proj = nn.Linear(shape.hidden, shape.heads * shape.head_dim, bias=False)
        self.k_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=False)
        self.v_proj = nn.Linear(shape.hidden, shape.kv_heads * shape.head_dim, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_dim, shape.hidden, bias=False)
        self.q_norm = Norm(shape.head_dim, shape.epsilon)
        self.k_norm = Norm(shape.head_dim, shape.epsilon)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, hidden_future: Tensor) -> Tensor:
        """`x` [rows, length, hidden]; `cos` and `sin` [length, head_dim]."""
        rows, length, _ = x.shape
        heads = (rows, length, -1, self.head_dim)
        query = rotated(self.q_norm(self.q_proj(x).view(heads)).transpose(1, 2), cos, sin)
        key = rotated(self.k_norm(self.k_proj(x).view(heads)).transpose(1, 2), cos, sin)
        value = self.v_proj(x).view(heads).transpose(1, 2)
        kv = key.shape[1]
        grouped = query.reshape(rows, kv, self.groups * length, self.head_dim)
        scores = (grouped @ key.transpose(2, 3)).view(rows, kv, self.groups, length, length)
        weights = functional.softmax(scores * self.head_dim**-0.5 + hidden_future, -1)
        weights = weights.to(value.dtype).view(rows, kv, self.groups * length, length)
        mixed = (weights @ value).view(rows, -1, length, self.head_dim)
        out: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(rows, length, -1))
        return out


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.inner, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.inner, bias=False)
        self.down_proj = nn.Linear(shape.inner, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.hidden, shape.epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.hidden, shape.epsilon)
        self.mlp = FeedForward(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, hidden_future: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, hidden_future)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Trunk(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden, shape.epsilon)


class Network(nn.Module):
    """Weights are drawn from torch's global generator: seed it first."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Trunk(shape)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = 0.02 if not deep else 0.02 / (2 * shape.layers) ** 0.5
                nn.init.normal_(weight, std=scale)

    def forward(self, ids: Tensor) -> Tensor:
        """`ids` [rows, length], int64, each row from position 0; hidden states before the head."""
        cos, sin = rotations(self.shape, ids.shape[1])
        future = torch.full((ids.shape[1], ids.shape[1]), -1e9).triu(1)
        x = self.model.embed_tokens(ids)
        if torch.is_autocast_enabled("cpu"):
            x, cos, sin, future = (part.bfloat16() for part in (x, cos, sin, future))
        for layer in self.model.layers:
            x = layer(x, cos, sin, future)
        out: Tensor = self.model.norm(x)
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., hidden] -> [..., vocab_size], by the embedding, which is tied."""
        return functional.linear(hidden, self.model.embed_tokens.weight)


def rotations(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [length, head_dim], the two halves alike."""
    powers = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32), shape.rope_theta**-powers)
    both = torch.cat((angles, angles), dim=-1)
    return both.cos(), both.sin()


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    one, other = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-other, one), dim=-1) * sin
