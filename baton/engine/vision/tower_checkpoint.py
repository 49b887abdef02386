"""The vision tower of a checkpoint by itself: the language model's weights stay on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoModelForImageTextToText, GenerationConfig

from baton.core.embeddings import embeddings_fingerprint
from baton.core.errors import SettingsError
from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.layout import DTYPE_BYTES, LayoutDescriptor
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.kv_shape import MODEL_ERRORS
from baton.engine.loading.checkpoint import (
    checked_config,
    digest_of_checkpoint,
    eos_token_ids,
    name_of_dtype,
)
from baton.engine.loading.families import reads_images
from baton.engine.machine.thread_team import release_team
from baton.engine.vision.encoder import ImageEncoder
from baton.model_source import revision_of
from baton.model_source.checkpoint_digest import digest_of_tokenizer
from baton.model_source.weight_files import read_json, weight_files

_PREFIXES = (
    "visual.",
    "model.visual.",
)  # as checkpoints on the hub have it, and as it is saved now


@dataclass(frozen=True, slots=True)
class TowerCheckpoint:
    encoder: ImageEncoder
    fingerprint: Fingerprint  # of its embeddings
    max_model_len: int
    weight_bytes: int


def load_tower(folder: Path, dtype: str, threads: int) -> TowerCheckpoint:
    """`dtype` as in `load_checkpoint`. Raises SettingsError for a model that reads no images, and for
    weights that do not fit it.
    """
    raw = read_json(folder / "config.json")
    if not reads_images(raw):
        raise SettingsError(f"{folder} is no model that reads images: there is nothing to encode")
    config = checked_config(folder, raw)
    files = weight_files(folder)
    weights = _tower_weights(files)
    wanted = TORCH_DTYPES.get(dtype) or config.dtype or next(iter(weights.values())).dtype
    network = _network_around(config, weights, wanted)
    stored_as = name_of_dtype(wanted)
    eos = eos_token_ids(_generation_config(folder) or network.generation_config, network.config)
    encoder = ImageEncoder(network, folder, threads)
    model = Fingerprint(
        protocol=PROTOCOL_VERSION,
        model_digest=digest_of_checkpoint(folder, raw, eos, files),
        revision=revision_of(folder),
        tokenizer_digest=digest_of_tokenizer(folder),
        dtype=stored_as,
        layout=LayoutDescriptor(0, 0, 0, 0, stored_as),
        rope_digest="",
    )
    elements = sum(weight.numel() for weight in weights.values())
    release_team()  # another thread will encode
    return TowerCheckpoint(
        encoder=encoder,
        fingerprint=embeddings_fingerprint(model, encoder.width),
        max_model_len=config.get_text_config().max_position_embeddings,
        weight_bytes=elements * DTYPE_BYTES[stored_as],
    )


def _tower_weights(files: list[Path]) -> dict[str, Tensor]:
    """By their names within the tower; only these are read."""
    found: dict[str, Tensor] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 it is no mapping
                    prefix = next((p for p in _PREFIXES if name.startswith(p)), None)
                    if prefix is not None:
                        found[name.removeprefix(prefix)] = file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise SettingsError(f"{path} cannot be loaded ({error})") from error
    if not found:
        raise SettingsError(f"{files[0].parent} has no weights of a vision tower")
    return found


def _network_around(config: Any, weights: Mapping[str, Tensor], dtype: torch.dtype) -> Any:
    """The whole model's class, which knows how images go into its tower. Only the tower has memory."""
    make: Any = AutoModelForImageTextToText.from_config
    try:
        with torch.device("meta"):
            network = make(config, dtype=dtype, attn_implementation={"vision_config": "sdpa"})
        made: Any = type(network.model.visual)
        tower = made._from_config(network.config.vision_config, dtype=dtype)
        tower.load_state_dict({name: weight.to(dtype) for name, weight in weights.items()})
    except (RuntimeError, *MODEL_ERRORS) as error:
        raise SettingsError(f"the vision tower cannot be loaded: {error}") from error
    network.model.visual = tower
    network.eval()
    return network


def _generation_config(folder: Path) -> Any:
    if not (folder / "generation_config.json").is_file():
        return None
    try:
        return GenerationConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{folder / 'generation_config.json'} cannot be used: {error}"
        ) from error
