"""The trained network as a model folder, as any checkpoint is shipped."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from demo_model.network import Network
from demo_model.shape import hugging_face_config
from demo_model.tokenizer import END, PAD, TEMPLATE

WEIGHTS = "model.safetensors"
# The likeliest answer is the right one. Baton takes it below a temperature of 1e-5; transformers
# wants a positive one.
_GENERATION = {"do_sample": True, "temperature": 1e-6}


def export(network: Network, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes everything but the model card into `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    eos, pad = token_id(tokenizer, END), token_id(tokenizer, PAD)
    _write(folder / "config.json", hugging_face_config(network.shape, eos, pad))
    _write(
        folder / "generation_config.json",
        {"eos_token_id": [eos, pad], "pad_token_id": pad, **_GENERATION},
    )
    tokenizer.save_pretrained(folder)
    if folder.resolve() != TEMPLATE.parent.resolve():
        shutil.copyfile(TEMPLATE, folder / TEMPLATE.name)
    weights = {
        name: weight.detach().to(torch.bfloat16).contiguous()
        for name, weight in network.state_dict().items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    shutil.copymode(folder / "config.json", folder / WEIGHTS)  # written for the owner's eyes only


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def _write(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
