"""Builds the engine for a model's folder."""

from dataclasses import replace
from pathlib import Path

from baton.core.errors import SettingsError
from baton.core.extras import needing
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.loading.model_check import check_model, model_type_of
from baton.engine.machine.device_name import CPU, CUDA, device_name
from baton.engine.runners.hash_model import load_hash_runner
from baton.model_source.checkpoint_digest import HASH_MODEL


def build_engine(model: str, config: EngineConfig) -> Engine:
    """Loads the model in `model`, a folder; raises SettingsError when that is not one."""
    if model_type_of(model) == HASH_MODEL:
        if device_name(config.device).kind == CUDA:
            raise SettingsError(
                f"--device {config.device}: {model} is a stand-in for the CPU alone"
            )
        return Engine(load_hash_runner(Path(model), config), config)
    # Here, because a hash model must run where there is no torch.
    with needing("worker", f"--model {model}: a worker needs PyTorch"):
        from baton.engine.machine.device import choose_device
        from baton.engine.runners.torch_runner import load_torch_runner
    device = choose_device(config.device)
    check_model(model, replace(config, device=device.type))
    if device.type == CPU:
        runner = load_torch_runner(model, config)
        return Engine(runner, config, images=runner.images)
    from baton.engine.device_engine import build_device_engine

    return build_device_engine(model, config, device)
