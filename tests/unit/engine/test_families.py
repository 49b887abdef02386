"""A model of a kind that cannot be served is told by its config, before any weight is read."""

from typing import Any

import pytest

from baton.engine.loading.families import is_known, kind_refused, reads_images, rope_refused

KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "mixtral": ({"num_local_experts": 8, "num_experts_per_tok": 2}, "mixture of experts"),
    "ernie4_5_moe": ({"moe_num_experts": [64, 64]}, "mixture of experts"),
    "deepseek_v3": ({"kv_lora_rank": 512, "n_routed_experts": 256}, "latent attention"),
    "mamba": ({"state_size": 16}, "state-space"),
    "rwkv": ({}, "state-space"),
    "jamba": ({"attn_layer_period": 8, "num_experts": 16}, "hybrid"),
    "qwen3_next": ({"layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
    "t5": ({"is_encoder_decoder": True}, "encoder-decoder"),
    "gemma3": ({"vision_config": {}, "text_config": {}}, "multimodal"),
    "llama": ({"quantization_config": {"quant_method": "gptq"}}, "quantized"),
    "gemma3n_text": ({"num_kv_shared_layers": 15}, "share the KV cache"),
    "gemma3_text": ({"use_bidirectional_attention": True}, "looks ahead"),
}


@pytest.mark.parametrize("model_type", KINDS)
def test_a_kind_that_cannot_be_served_is_named(model_type: str) -> None:
    config, kind = KINDS[model_type]

    assert kind in str(kind_refused({"model_type": model_type, **config}))


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama", "quantization_config": None},
        {"model_type": "gemma2", "layer_types": ["sliding_attention", "full_attention"]},
        {"model_type": "phi", "num_experts_per_tok": 1, "kv_lora_rank": None},
        {"model_type": "doge", "is_moe": False, "num_experts": 16384},
        {"model_type": "bert", "is_encoder_decoder": False},
    ],
)
def test_a_dense_decoder_is_none_of_them(config: dict[str, Any]) -> None:
    assert kind_refused(config) is None


def test_a_family_is_known_by_architecture_and_type_together() -> None:
    assert is_known({"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"})
    assert not is_known({"architectures": ["LlamaForCausalLM"], "model_type": "qwen2"})
    assert not is_known({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"})
    assert not is_known({"model_type": "llama"})


def test_models_that_read_images_are_of_two_families_and_looked_at_within() -> None:
    assert is_known(
        {"architectures": ["Qwen2VLForConditionalGeneration"], "model_type": "qwen2_vl"}
    )
    assert not reads_images({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"})
    assert kind_refused({"model_type": "qwen2_vl", "vision_config": {}, "text_config": {}}) is None
    inner = {"num_experts": 8}
    assert "experts" in str(kind_refused({"model_type": "qwen2_5_vl", "text_config": inner}))


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_a_rope_that_depends_on_the_length_is_refused(kind: str) -> None:
    assert f"rope type '{kind}' is not" in str(rope_refused({"rope_type": kind}))


def test_a_rope_is_looked_at_for_each_layer_type() -> None:
    rope = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        "full_attention": {"rope_type": "linear", "factor": 8.0},
    }
    assert rope_refused(rope) is None
    rope["full_attention"]["rope_type"] = "dynamic"
    assert "'dynamic' of its full_attention layers" in str(rope_refused(rope))


def test_a_model_without_rope_has_nothing_to_refuse() -> None:
    assert rope_refused(None) is None
