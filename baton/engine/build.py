"""Builds the engine for a model's folder."""

from pathlib import Path

from baton.core.errors import SettingsError
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.hash_model import load_hash_runner
from baton.engine.model_check import HASH_MODEL, check_model, model_type_of
from baton.engine.plan import Runner


def build_engine(model: str, config: EngineConfig) -> Engine:
    """Loads the model in `model`, a folder; raises SettingsError when that is not one."""
    return Engine(_load_runner(model, config), config)


def _load_runner(model: str, config: EngineConfig) -> Runner:
    if model_type_of(model) == HASH_MODEL:
        return load_hash_runner(Path(model), config)
    try:  # here, because a hash model must run where there is no torch
        from baton.engine.torch_runner import load_torch_runner
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--model {model}: a worker needs PyTorch ({error}); pip install 'baton-serving[worker]'"
        ) from error
    check_model(model, config)
    return load_torch_runner(model, config)
