"""A Hugging Face checkpoint from a local folder: the model, and what others must know of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from baton.core.errors import SettingsError
from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.engine.attention import hugging_face
from baton.engine.checkpoint_digest import digest_of_json, digest_of_model, digest_of_tokenizer

SUPPORTED = {"LlamaForCausalLM": "llama", "Qwen3ForCausalLM": "qwen3"}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# The others change their frequencies with the longest sequence of a batch.
ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`model` is on the CPU, in eval mode, its attention routed to `baton.engine.attention`."""

    model: PreTrainedModel
    dtype: str  # float32 or bfloat16, of weights and KV
    num_layers: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_model_len: int  # positions the model was made for
    eos_token_ids: frozenset[int]
    model_digest: str
    tokenizer_digest: str
    rope_digest: str

    def layout(self, block_size: int) -> LayoutDescriptor:
        return LayoutDescriptor(
            self.num_layers, self.num_kv_heads, self.head_dim, block_size, self.dtype
        )

    def fingerprint(self, block_size: int) -> Fingerprint:
        return Fingerprint(
            protocol=PROTOCOL_VERSION,
            model_digest=self.model_digest,
            revision="",  # a folder has none
            tokenizer_digest=self.tokenizer_digest,
            dtype=self.dtype,
            layout=self.layout(block_size),
            rope_digest=self.rope_digest,
        )


def load_checkpoint(model: str, dtype: str) -> Checkpoint:
    """`model` is a folder with config.json and safetensors; `dtype` auto, float32 or bfloat16.

    Raises SettingsError for whatever cannot be served exactly as it was trained.
    """
    folder = Path(model)
    if not folder.is_dir():
        raise SettingsError(
            f"the model folder {model!r} does not exist; --model takes a folder with config.json "
            "and *.safetensors (hub ids are not supported yet)"
        )
    if dtype not in ("auto", *DTYPES):
        raise SettingsError(f"--dtype {dtype!r} is none of: auto, {', '.join(DTYPES)}")
    raw = _read_json(folder / "config.json")
    _check_architecture(raw)
    weights = _weight_files(folder)
    network = _load_network(folder, dtype)
    config = network.config
    _check_config(config)
    eos = _eos_token_ids(network)  # both workers must end an answer at the same token
    return Checkpoint(
        model=network,
        dtype=_name_of_dtype(network.dtype),
        num_layers=config.num_hidden_layers,
        num_kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        vocab_size=config.vocab_size,
        max_model_len=config.max_position_embeddings,
        eos_token_ids=eos,
        model_digest=digest_of_model({**raw, "eos_token_ids": sorted(eos)}, weights),
        tokenizer_digest=digest_of_tokenizer(folder),
        rope_digest=digest_of_json(config.rope_parameters),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError(f"{path} does not hold a JSON object")
    return value


def _check_architecture(raw: Mapping[str, Any]) -> None:
    names, kind = raw.get("architectures"), raw.get("model_type")
    if not isinstance(names, list) or len(names) != 1 or SUPPORTED.get(names[0]) != kind:
        raise SettingsError(
            f"the model's architecture {names} (model_type {kind!r}) is not supported; "
            f"supported are {' and '.join(SUPPORTED)}"
        )
    if raw.get("quantization_config"):
        raise SettingsError("quantized checkpoints are not supported; take the float one")


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        shards = _read_json(index).get("weight_map")
        names = set(shards.values()) if isinstance(shards, dict) else set()
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing or not names:
        raise SettingsError(f"{folder} lacks its weights: {', '.join(missing) or index.name}")
    return [folder / name for name in names]


def _load_network(folder: Path, dtype: str) -> PreTrainedModel:
    hugging_face.register()
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=DTYPES.get(dtype, "auto"),
            attn_implementation=hugging_face.NAME,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # reported in `info`, and refused below
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise SettingsError(f"{folder} cannot be loaded: {error}") from error
    network, info = loaded
    lacking = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if lacking:
        shown = ", ".join(lacking[:3])
        raise SettingsError(f"{folder} lacks weights or has them in other shapes: {shown}")
    assert isinstance(network, PreTrainedModel)
    network.eval()  # type: ignore[no-untyped-call]
    return network


def _check_config(config: Any) -> None:
    if getattr(config, "sliding_window", None) is not None:
        raise SettingsError("models with sliding-window attention are not supported")
    kind = config.rope_parameters["rope_type"]
    if kind not in ROPE_TYPES:
        known = ", ".join(sorted(ROPE_TYPES))
        raise SettingsError(f"the rope type {kind!r} is not supported; supported are {known}")


def _name_of_dtype(dtype: torch.dtype) -> str:
    for name, known in DTYPES.items():
        if dtype == known:
            return name
    raise SettingsError(
        f"the checkpoint is stored as {dtype}, which is not supported: "
        f"give --dtype {' or '.join(DTYPES)}"
    )


def _eos_token_ids(network: PreTrainedModel) -> frozenset[int]:
    """Of the generation config, which knows chat endings that the model's config may not."""
    generation = network.generation_config
    ids = generation.eos_token_id if generation is not None else None
    if ids is None:
        ids = network.config.eos_token_id
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
