"""A Hugging Face checkpoint from a local folder: the model, and what others must know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedModel,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from baton.core.errors import SettingsError
from baton.core.fingerprint import PROTOCOL_VERSION, Fingerprint
from baton.core.layout import LayoutDescriptor
from baton.engine.attention import hugging_face
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.kv_shape import MODEL_ERRORS, KvShape, kv_shape
from baton.engine.loading.eager_check import check_against_eager
from baton.engine.loading.families import KNOWN, check_kind, is_known, reads_images, rope_refused
from baton.model_source import revision_of
from baton.model_source.checkpoint_digest import (
    digest_of_json,
    digest_of_model,
    digest_of_tokenizer,
)
from baton.model_source.weight_files import read_json, weight_files


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`model` is on the CPU, in eval mode, its attention routed to `baton.engine.attention`."""

    model: PreTrainedModel
    dtype: str  # float32, bfloat16 or float16, of weights and KV
    num_layers: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_model_len: int  # positions the model was made for
    eos_token_ids: frozenset[int]
    model_digest: str
    revision: str  # commit of a hub's snapshot, empty for another folder
    tokenizer_digest: str
    rope_digest: str

    @property
    def kv_shape(self) -> KvShape:
        return KvShape(self.num_layers, self.num_kv_heads, self.head_dim, self.vocab_size)

    def layout(self, block_size: int) -> LayoutDescriptor:
        return LayoutDescriptor(
            self.num_layers, self.num_kv_heads, self.head_dim, block_size, self.dtype
        )

    def fingerprint(
        self, block_size: int, numeric_class: str = "", quantization: str = ""
    ) -> Fingerprint:
        """`quantization` is what weights became at load, empty where they are the checkpoint's."""
        return Fingerprint(
            protocol=PROTOCOL_VERSION,
            model_digest=self.model_digest,
            revision=self.revision,
            tokenizer_digest=self.tokenizer_digest,
            dtype=f"{self.dtype}, {quantization} weights" if quantization else self.dtype,
            layout=self.layout(block_size),
            rope_digest=self.rope_digest,
            numeric_class=numeric_class,
        )


def load_checkpoint(model: str, dtype: str) -> Checkpoint:
    """`model` is a folder with config.json and safetensors; `dtype` auto, float32, bfloat16, float16.

    Raises SettingsError for whatever cannot be served exactly as it was trained.
    """
    folder = Path(model)
    if not folder.is_dir():
        raise SettingsError(
            f"the model folder {model!r} does not exist; --model takes a folder with config.json "
            "and *.safetensors"
        )
    if dtype not in ("auto", *TORCH_DTYPES):
        raise SettingsError(f"--dtype {dtype!r} is none of: auto, {', '.join(TORCH_DTYPES)}")
    raw = read_json(folder / "config.json")
    config = checked_config(folder, raw)
    weights = weight_files(folder)
    network = _load_network(folder, dtype, with_tower=reads_images(raw))
    stored_as = name_of_dtype(network.dtype)
    shape = _tried(network, is_known(raw))
    eos = eos_token_ids(
        network.generation_config, network.config
    )  # both workers must end an answer at the same token
    return Checkpoint(
        model=network,
        dtype=stored_as,
        num_layers=shape.num_layers,
        num_kv_heads=shape.num_kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocab_size,
        max_model_len=_positions(config.get_text_config()),
        eos_token_ids=eos,
        model_digest=digest_of_checkpoint(folder, raw, eos, weights),
        revision=revision_of(folder),
        tokenizer_digest=digest_of_tokenizer(folder),
        rope_digest=digest_of_json(getattr(config.get_text_config(), "rope_parameters", None)),
    )


def checked_config(folder: Path, raw: Mapping[str, Any]) -> Any:
    """transformers' config object; raises SettingsError for a kind of model that is not served."""
    check_kind(raw)
    _check_architecture(raw)
    try:
        config: Any = AutoConfig.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,  # unsaid, it would ask on the terminal
        )
    except (OSError, StrictDataclassError, *MODEL_ERRORS) as error:
        raise SettingsError(f"{folder / 'config.json'} cannot be used: {error}") from error
    check_kind(raw, config.to_dict())
    language = config.get_text_config()  # itself, where there is nothing else in it
    rope = rope_refused(getattr(language, "rope_parameters", None))
    if rope:
        raise SettingsError(rope)
    _positions(language)
    return config


def _check_architecture(raw: Mapping[str, Any]) -> None:
    """The class that transformers would load must be the one that was saved."""
    if reads_images(raw):
        return
    names, kind = raw.get("architectures"), raw.get("model_type")
    loaded = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(str(kind))
    if names != [loaded]:
        raise SettingsError(
            f"the model's architecture {names} (model_type {kind!r}) is not supported; tested are "
            f"{', '.join(KNOWN)}, and other causal language models of transformers are tried"
        )


def _image_processor(folder: Path, raw: Mapping[str, Any]) -> dict[str, object]:
    """What it does to pixels decides the KV as well."""
    path = folder / "preprocessor_config.json"
    return {"image_processor": read_json(path)} if reads_images(raw) and path.is_file() else {}


def _positions(config: Any) -> int:
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        raise SettingsError(
            "config.json does not say how long a sequence may be: it lacks max_position_embeddings"
        )
    if not isinstance(positions, int) or positions < 2:
        raise SettingsError(
            f"max_position_embeddings {positions!r} in config.json is not possible: a prompt and "
            "its answer have at least two tokens"
        )
    return positions


def _load_network(folder: Path, dtype: str, *, with_tower: bool) -> PreTrainedModel:
    """`with_tower`: it has a vision tower beside its language model, which attends in its own way."""
    hugging_face.register()
    routed = {"text_config": hugging_face.NAME, "vision_config": "sdpa"}
    loader: Any = AutoModelForImageTextToText if with_tower else AutoModelForCausalLM
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        loaded: Any = loader.from_pretrained(
            folder,
            dtype=TORCH_DTYPES.get(dtype, "auto"),
            attn_implementation=routed if with_tower else hugging_face.NAME,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # reported in `info`, and refused below
            output_loading_info=True,
        )
    except (OSError, SafetensorError, StrictDataclassError, *MODEL_ERRORS) as error:
        reason = f"{type(error).__name__}: {error}"
        if error.args == (hugging_face.NAME,):  # looked up among those that the class knows itself
            reason = "its class computes its attention in its own ways"
        raise SettingsError(f"{folder} cannot be loaded ({reason})") from error
    network, info = loaded
    lacking = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
    if lacking:
        shown = ", ".join(lacking[:3])
        raise SettingsError(f"{folder} lacks weights or has them in other shapes: {shown}")
    assert isinstance(network, PreTrainedModel)
    network.eval()  # type: ignore[no-untyped-call]
    return network


def _tried(network: PreTrainedModel, known: bool) -> KvShape:
    shape = kv_shape(network)
    if not known:
        check_against_eager(network, shape)
    return shape


def name_of_dtype(dtype: torch.dtype) -> str:
    for name, known in TORCH_DTYPES.items():
        if dtype == known:
            return name
    raise SettingsError(
        f"the checkpoint is stored as {dtype}, which is not supported: "
        f"give --dtype {' or '.join(TORCH_DTYPES)}"
    )


def digest_of_checkpoint(
    folder: Path, raw: Mapping[str, Any], eos: frozenset[int], weights: Sequence[Path]
) -> str:
    """`raw` is what config.json holds. Equal whatever part of the weights a worker loads."""
    config = {**raw, "eos_token_ids": sorted(eos), **_image_processor(folder, raw)}
    return digest_of_model(config, weights)


def eos_token_ids(generation: Any, config: Any) -> frozenset[int]:
    """Of the generation config, which knows chat endings that the model's config may not; None where
    there is none.
    """
    ids = generation.eos_token_id if generation is not None else None
    if ids is None:
        ids = config.eos_token_id
    if ids is None:
        return frozenset()
    return frozenset([ids] if isinstance(ids, int) else ids)
