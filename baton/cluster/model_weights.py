"""Random weights in the shapes of the presets. Imports torch: only for who makes such a model."""

import shutil
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen3Config


def tiny_llama(vocab_size: int, max_length: int, eos: int, pad: int) -> PreTrainedConfig:
    """8 layers, hidden 256: a step takes milliseconds."""
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=256,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=max_length,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
    )


def small_qwen3(vocab_size: int, max_length: int, eos: int, pad: int) -> PreTrainedConfig:
    """The shape of Qwen3-0.6B."""
    return Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=max_length,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=eos,
        pad_token_id=pad,
    )


SHAPES = {"tiny_llama": tiny_llama, "small_qwen3": small_qwen3}


def save_random_weights(config: PreTrainedConfig, folder: Path) -> None:
    """bfloat16, the same for the same config; leaves torch's generator as it was."""
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.bfloat16
        )
    model.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):  # written for the owner's eyes only
        shutil.copymode(folder / "config.json", weights)
