"""Small checkpoints with random float32 weights, made once per test session."""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

VOCAB = 1000
EOS = 2
WINDOW = 40  # positions: less than most prompts, and no multiple of a block

_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": 0,
}
_GEMMA = {"head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": WINDOW}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]

# What each family has that Llama has not; the tested families first.
FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": {"head_dim": 16},
    "Qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 2},
    "Qwen3": {
        "hidden_size": 96,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "head_dim": 32,
        "tie_word_embeddings": True,
    },
    "Mistral": {"sliding_window": WINDOW},
    "Gemma2": {
        **_GEMMA,
        "layer_types": _MIXED,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 30.0,
    },
    "Gemma3": {
        **_GEMMA,
        "layer_types": _MIXED,
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
    },
    "Phi": {"partial_rotary_factor": 0.5, "num_key_value_heads": 4, "qk_layernorm": True},
    "Phi3": {"sliding_window": WINDOW, "partial_rotary_factor": 0.75},
}
# Served when they pass the check at load.
OTHERS: dict[str, dict[str, Any]] = {
    "GPT2": {"n_embd": 64, "n_head": 4, "n_layer": 3, "n_positions": 512},
    "GPTNeoX": {},
    "Olmo2": {},
    "StableLm": {},
    "Granite": {"attention_multiplier": 0.2, "logits_scaling": 2.0},
    "Cohere": {},
    "Cohere2": {"sliding_window": WINDOW},
    "Starcoder2": {"sliding_window": WINDOW},
    "Bloom": {"hidden_size": 64, "n_head": 4, "n_layer": 3, "max_position_embeddings": 512},
    "OPT": {"ffn_dim": 160, "word_embed_proj_dim": 64},
}


def make(family: str, folder: Path, *, seed: int = 0, spread: bool = True, **changes: Any) -> Path:
    """A checkpoint of a family of FAMILIES or OTHERS; `changes` go into its config.

    Without `spread` the weights are as transformers initialises them.
    """
    own = FAMILIES.get(family) or OTHERS.get(family, {})
    suffix = "TextConfig" if family == "Gemma3" else "Config"
    config = getattr(transformers, family + suffix)(**{**_COMMON, **own, **changes})
    heads = (f"{family}ForCausalLM", f"{family}LMHeadModel")
    architecture = next(name for name in heads if hasattr(transformers, name))
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, architecture)(config)
        if spread:
            _spread(model)
    model.save_pretrained(folder)
    return folder


# Token ids that mark an image, as tests.support.vision_tokenizer has them.
VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD = 3, 4, 5, 6
PATCH = 4  # pixels; a token is 2 x 2 patches
_TOWERS: dict[str, dict[str, Any]] = {
    "Qwen2VL": {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2},
    "Qwen2_5_VL": {
        "hidden_size": 32,
        "out_hidden_size": 64,
        "intermediate_size": 64,
        "window_size": 16,
        "fullatt_block_indexes": [1],
    },
}


def make_vision(family: str, folder: Path, *, seed: int = 0) -> Path:
    """A checkpoint that reads images: `family` is one of Qwen2VL and Qwen2_5_VL."""
    text = {
        **_COMMON,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e4,
            "mrope_section": [2, 3, 3],
        },
    }
    tower = {
        "depth": 2,
        "num_heads": 4,
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        **_TOWERS[family],
    }
    config = getattr(transformers, family + "Config")(
        text_config=text,
        vision_config=tower,
        image_token_id=IMAGE_PAD,
        video_token_id=VIDEO_PAD,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
        eos_token_id=EOS,
    )
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, family + "ForConditionalGeneration")(config)
        _spread(model)
    model.save_pretrained(folder)
    image_processor().save_pretrained(folder)
    return folder


def image_processor() -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    size = {"shortest_edge": (4 * PATCH) ** 2, "longest_edge": (16 * PATCH) ** 2}
    return Qwen2VLImageProcessorPil(
        patch_size=PATCH, merge_size=2, temporal_patch_size=2, size=size
    )


def make_llama(folder: Path, *, seed: int = 0) -> Path:
    """3 layers, 4 heads on 2 KV heads of 16, untied."""
    return make("Llama", folder, seed=seed)


def make_qwen3(folder: Path, *, seed: int = 0) -> Path:
    """2 layers, 6 heads on 2 KV heads of 32, tied, with norms on queries and keys."""
    return make("Qwen3", folder, seed=seed)


def _spread(model: PreTrainedModel) -> None:
    """Freshly initialised weights hardly attend and hardly prefer a token; these do both.

    Matrices are drawn with variance 1 / columns, and what layers add outweighs the embedding: the
    whole past decides the next token, and best and second best logits are far apart compared with
    float32's noise.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            gain = 4.0 if name.endswith(_OUTPUTS) else 1.0
            if parameter.dim() >= 2:
                parameter.normal_(std=gain * parameter[0].numel() ** -0.5)
            elif "visual" in name and name.endswith("bias"):
                parameter.normal_(std=0.1)  # what all images have in common must not drown them
            else:
                parameter.uniform_(0.5, 1.5)


_OUTPUTS = ("o_proj.weight", "down_proj.weight", "dense.weight", "fc2.weight", "mlp.2.weight")
