"""The size of the model, and the config.json that says it to every loader of checkpoints."""

from dataclasses import dataclass

CONTEXT = 4096  # positions that a server allows; training dialogues are far shorter


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen3: RMS norms on queries and keys, grouped queries, SwiGLU, tied embeddings."""

    vocab_size: int = 2560
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    inner: int = 448  # of the feed-forward part
    rope_theta: float = 10_000.0
    epsilon: float = 1e-6


def hugging_face_config(shape: Shape, eos: int, pad: int) -> dict[str, object]:
    """config.json, as transformers writes it for Qwen3ForCausalLM."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "dtype": "bfloat16",
        "eos_token_id": eos,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.inner,
        "max_position_embeddings": CONTEXT,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": pad,
        "rms_norm_eps": shape.epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "tie_word_embeddings": True,
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": shape.vocab_size,
    }
