"""Whether a model's folder can be served, as far as that can be said before a weight is loaded.

`baton up` asks before it starts anybody, so this knows no engine: importing one takes time.
"""

import json
from pathlib import Path

from baton.core.errors import SettingsError
from baton.engine.config import OFF, EngineConfig
from baton.engine.loading.families import check_kind, reads_images
from baton.engine.loading.memory_check import check_memory
from baton.engine.machine.device_name import CUDA, device_name
from baton.engine.machine.host_memory import available_memory
from baton.model_source.checkpoint_digest import HASH_MODEL
from baton.model_source.weight_files import read_json


def check_model(model: str, config: EngineConfig, num_workers: int = 1, taken: int = 0) -> int:
    """The bytes of memory that it will take, as far as that is known. Raises SettingsError.

    `model` is a folder, which `num_workers` engines on this machine load side by side. `taken`: bytes
    that others are about to take.
    """
    if model_type_of(model) == HASH_MODEL:  # its pool checks itself
        return 0
    on_device = device_name(config.device).kind == CUDA
    if config.batch_invariant and config.attention_backend not in ("auto", "cpu"):
        raise SettingsError(
            f"--batch-invariant is kept by the C++ kernels alone: --attention-backend "
            f"{config.attention_backend} sums up in an order that depends on the batch; leave it at auto"
        )
    if config.quantization and on_device:
        raise SettingsError(
            f"--quantization {config.quantization} is of the C++ kernels alone: take --device cpu with it"
        )
    folder = Path(model)
    raw = read_json(folder / "config.json")
    check_kind(raw)
    if reads_images(raw):
        _check_image_model(config, on_device=on_device)
    return check_memory(
        folder,
        config.dtype,
        0 if on_device else config.pool_bytes,
        max(0, available_memory() - taken),
        num_workers,
        config.kv_offloading_bytes,
        screened=not (on_device or config.quantization or config.output_screen == OFF),
    )


def model_reads_images(model: str) -> bool:
    """`model` is a folder."""
    return reads_images(read_json(Path(model) / "config.json"))


def _check_image_model(config: EngineConfig, *, on_device: bool) -> None:
    if on_device:
        raise SettingsError(
            "a model that reads images runs on the CPU alone so far: take --device cpu with it"
        )
    if config.batch_invariant:
        raise SettingsError(
            "--batch-invariant is not kept by a vision tower; take the checkpoint of the text model"
        )


def model_type_of(model: str) -> str | None:
    path = Path(model) / "config.json"
    if not path.is_file():
        raise SettingsError(
            f"--model {model}: there is no {path}; give the folder of a checkpoint in Hugging "
            "Face's format, such as `baton make-model` writes"
        )
    try:
        read = json.loads(path.read_bytes())
    except ValueError as error:
        raise SettingsError(f"--model {model}: {path} is not JSON ({error})") from error
    if not isinstance(read, dict):
        raise SettingsError(f"--model {model}: {path} is not a JSON object")
    kind = read.get("model_type")
    return kind if isinstance(kind, str) else None
