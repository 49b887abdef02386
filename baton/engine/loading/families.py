"""Which models are known, which need a try, and which are refused by the kind they are. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from baton.core.errors import SettingsError

# Architecture -> model_type: equal to Hugging Face's own answers by the oracle tests.
KNOWN = {
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "MistralForCausalLM": "mistral",
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3_text",
    "PhiForCausalLM": "phi",
    "Phi3ForCausalLM": "phi3",
}
# Likewise, of those that read images: their language model is served like any other, their vision
# tower as it is.
IMAGE_FAMILIES = {
    "Qwen2VLForConditionalGeneration": "qwen2_vl",
    "Qwen2_5_VLForConditionalGeneration": "qwen2_5_vl",
}
# The others (dynamic, longrope) change their frequencies with the longest sequence of a batch.
ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn", "proportional"})

_LAYER_TYPES = frozenset({"full_attention", "sliding_attention"})
_EXPERTS = (
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "moe_num_experts",
    "num_experts_per_tok",
)
_STATES = (
    "mamba_d_state",
    "mamba_d_conv",
    "mamba_num_heads",
    "ssm_state_size",
    "ssm_cfg",
    "state_size",
    "attn_layer_period",
    "linear_num_key_heads",
    "linear_conv_kernel_dim",
    "linear_attn_config",
    "conv_L_cache",
    "lru_width",
)
_STATE_TYPES = ("mamba", "rwkv", "jamba", "zamba", "xlstm", "recurrent")
_OTHER_INPUTS = ("vision_config", "audio_config", "image_token_id", "image_token_index")


def is_known(config: Mapping[str, Any]) -> bool:
    """`config` is what config.json holds."""
    return _is_one_of(KNOWN | IMAGE_FAMILIES, config)


def reads_images(config: Mapping[str, Any]) -> bool:
    """Whether prompts of this model may have images. `config` is what config.json holds."""
    return _is_one_of(IMAGE_FAMILIES, config)


def _is_one_of(families: Mapping[str, str], config: Mapping[str, Any]) -> bool:
    names = config.get("architectures")
    return (
        isinstance(names, list)
        and len(names) == 1
        and str(names[0]) in families
        and families[names[0]] == config.get("model_type")
    )


def check_kind(raw: Mapping[str, Any], config: Mapping[str, Any] | None = None) -> None:
    """Raises SettingsError for a kind of model that is not served.

    `raw` is what config.json holds, `config` the same with the defaults of its class filled in.
    """
    kind = kind_refused(raw if config is None else config)
    if kind:
        raise SettingsError(
            f"the model's architecture {raw.get('architectures')} (model_type "
            f"{raw.get('model_type')!r}) is not supported: it is {kind}"
        )


def kind_refused(config: Mapping[str, Any]) -> str | None:
    """What the model is, where no such model can be served; None where nothing speaks against it."""
    kind = str(config.get("model_type") or "")
    stored = config.get("quantization_config") or config.get("compression_config")
    if stored:
        method = stored.get("quant_method") if isinstance(stored, Mapping) else None
        return (
            f"a checkpoint quantized by {method or 'some method'}; take the float one, whose weights "
            "--quantization int8 quantizes at load"
        )
    if config.get("is_encoder_decoder") is True:
        return "an encoder-decoder model"
    if kind in IMAGE_FAMILIES.values():
        inner = config.get("text_config")
        return kind_refused(inner) if isinstance(inner, Mapping) else None
    if any(config.get(name) is not None for name in _OTHER_INPUTS):
        return "a multimodal model; take the checkpoint of its text model, if there is one"
    if config.get("kv_lora_rank"):
        return "a model with latent attention, whose cache holds no keys and values"
    if any(config.get(name) for name in _STATES) or any(part in kind for part in _STATE_TYPES):
        return "a state-space or hybrid model, whose layers keep a state beside the KV cache"
    if _has_experts(config):
        return "a mixture of experts"
    if config.get("num_kv_shared_layers"):
        return "a model whose layers share the KV cache of others"
    if config.get("use_bidirectional_attention"):
        return "a model whose attention looks ahead"
    return _layer_kind_refused(config)


def rope_refused(rope: object) -> str | None:
    """What is wrong with a config's `rope_parameters`: those of all layers or of each layer type."""
    for where, kind in _rope_types(rope):
        if kind not in ROPE_TYPES:
            known = ", ".join(sorted(ROPE_TYPES))
            return (
                f"the rope type {kind!r}{where} is not supported, because its frequencies depend "
                f"on the length of a sequence; supported are {known}"
            )
    return None


def _rope_types(rope: object) -> Iterable[tuple[str, object]]:
    if not isinstance(rope, Mapping):
        return
    if "rope_type" in rope:
        yield "", rope["rope_type"]
    for name, inner in rope.items():
        if isinstance(inner, Mapping) and "rope_type" in inner:
            yield f" of its {name} layers", inner["rope_type"]


def _has_experts(config: Mapping[str, Any]) -> bool:
    if config.get("is_moe") is False or config.get("enable_moe_block") is False:
        return False
    return any(_largest(config.get(name)) > 1 for name in _EXPERTS)


def _largest(value: object) -> int:
    """Some say it for each modality, in a list."""
    if isinstance(value, list):
        return max(map(_largest, value), default=0)
    return value if isinstance(value, int) else 0


def _layer_kind_refused(config: Mapping[str, Any]) -> str | None:
    types = config.get("layer_types")
    strange = set(map(str, types)) - _LAYER_TYPES if isinstance(types, list) else set()
    if strange:
        return f"a hybrid model, with {', '.join(sorted(strange))} layers"
    return None
