"""Models that are made here instead of downloaded: random weights, a real tokenizer."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from baton.cluster.model_tokenizer import END, PAD, train_tokenizer
from baton.core.errors import SettingsError
from baton.core.extras import needing


@dataclass(frozen=True, slots=True)
class _Preset:
    vocab_size: int
    max_length: int  # tokens the model is made for
    max_chars: int  # of text that the tokenizer is trained on
    build: Callable[["_Preset", PreTrainedTokenizerFast, Path], None]  # all but the tokenizer
    shape: str = ""  # of random weights


def make_model(preset: str, out: Path, progress: Callable[[str], None]) -> None:
    """Writes the model folder `out`, whole or not at all; `progress` gets a line per step.

    Raises SettingsError for an unknown preset and where `out` is anything but an empty folder.
    """
    recipe = PRESETS.get(preset)
    if recipe is None:
        raise SettingsError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(f"{out} exists and is not empty; choose another folder")
    draft = out.parent / f".{out.name}.{os.getpid()}.partial"
    draft.mkdir(parents=True)
    try:
        _write(recipe, draft, progress)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(recipe: _Preset, folder: Path, progress: Callable[[str], None]) -> None:
    progress(f"training a tokenizer of {recipe.vocab_size} tokens")
    tokenizer = train_tokenizer(
        recipe.vocab_size, max_chars=recipe.max_chars, max_length=recipe.max_length
    )
    tokenizer.save_pretrained(folder)
    progress("writing the model")
    recipe.build(recipe, tokenizer, folder)


def _id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    token_id = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(token_id, int)
    return token_id


def _build_random(recipe: _Preset, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    # Here, because torch takes seconds to import and other presets and commands need none.
    with needing("worker", "making random weights needs PyTorch"):
        from baton.cluster.model_weights import SHAPES, save_random_weights
    eos, pad = _id(tokenizer, END), _id(tokenizer, PAD)
    shape = SHAPES[recipe.shape]
    save_random_weights(shape(recipe.vocab_size, recipe.max_length, eos, pad), folder)


def _build_hash(recipe: _Preset, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """The engine's HashModel has no weights."""
    config = {
        "model_type": "baton_hash",
        "vocab_size": recipe.vocab_size,
        "num_layers": 2,
        "num_kv_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": recipe.max_length,
        "eos_token_id": _id(tokenizer, END),
        "model_key": "baton",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


PRESETS = {
    "tiny": _Preset(4096, 4096, 4_000_000, _build_random, "tiny_llama"),
    "small": _Preset(151936, 8192, 200_000_000, _build_random, "small_qwen3"),
    "hash": _Preset(4096, 8192, 4_000_000, _build_hash),
}
