"""Small checkpoints with random float32 weights, made once per test session."""

from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCAB = 1000
EOS = 2


def make_llama(folder: Path, *, seed: int = 0) -> Path:
    """3 layers, 4 heads on 2 KV heads of 16, untied."""
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=0,
    )
    return _save(lambda: LlamaForCausalLM(config), folder, seed)


def make_qwen3(folder: Path, *, seed: int = 0) -> Path:
    """2 layers, 6 heads on 2 KV heads of 32, tied, with norms on queries and keys."""
    config = Qwen3Config(
        vocab_size=VOCAB,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=0,
    )
    return _save(lambda: Qwen3ForCausalLM(config), folder, seed)


MAKERS: dict[str, Callable[[Path], Path]] = {"llama": make_llama, "qwen3": make_qwen3}


def _save(build: Callable[[], PreTrainedModel], folder: Path, seed: int) -> Path:
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        _spread(model)
    model.save_pretrained(folder)
    return folder


def _spread(model: PreTrainedModel) -> None:
    """Freshly initialised weights hardly attend and hardly prefer a token; these do both.

    Matrices are drawn with variance 1 / columns, and what layers add outweighs the embedding: the
    whole past decides the next token, and best and second best logits are far apart compared with
    float32's noise.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = 4.0 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0
            if parameter.dim() == 2:
                parameter.normal_(std=gain * parameter.shape[1] ** -0.5)
            else:
                parameter.uniform_(0.5, 1.5)
