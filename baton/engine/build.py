"""Builds the engine for a model's folder."""

import json
from pathlib import Path

from baton.core.errors import SettingsError
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.families import check_kind
from baton.engine.hash_model import MODEL_TYPE, load_hash_runner
from baton.engine.host_memory import available_memory
from baton.engine.memory_check import check_memory
from baton.engine.plan import Runner
from baton.engine.weight_files import read_json


def build_engine(model: str, config: EngineConfig) -> Engine:
    """Loads the model in `model`, a folder; raises SettingsError when that is not one."""
    return Engine(_load_runner(model, config), config)


def check_model(model: str, config: EngineConfig, num_workers: int = 1) -> None:
    """What can be said before a weight is loaded, and without torch. Raises SettingsError.

    `model` is a folder, which `num_workers` engines on this machine load side by side.
    """
    if _model_type(model) == MODEL_TYPE:  # it has no weights, and its pool checks itself
        return
    folder = Path(model)
    check_kind(read_json(folder / "config.json"))
    size = config.kv_cache_memory_bytes
    check_memory(folder, config.dtype, size, available_memory(), num_workers)


def _load_runner(model: str, config: EngineConfig) -> Runner:
    if _model_type(model) == MODEL_TYPE:
        return load_hash_runner(Path(model), config)
    try:  # here, because a hash model must run where there is no torch
        from baton.engine.torch_runner import load_torch_runner
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--model {model}: a worker needs PyTorch ({error}); pip install 'baton-serving[worker]'"
        ) from error
    check_model(model, config)
    return load_torch_runner(model, config)


def _model_type(model: str) -> str | None:
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
