"""Checkpoints that read images: as the hub has them, and which settings they are refused with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from baton.core.errors import SettingsError
from baton.engine.config import EngineConfig
from baton.engine.loading.checkpoint import load_checkpoint
from baton.engine.loading.model_check import check_model
from baton.engine.modules.decoder_layer import KernelDecoderLayer
from baton.engine.modules.linear import KernelLinear
from baton.engine.runners.torch_runner import load_torch_runner, replace_modules
from baton.engine.vision.tower import language_modules, tower_of
from tests.support.models import make_vision
from tests.support.programs import needed

OF_THE_TEXT = ("model_type", "architectures", "rope_parameters", "layer_types")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vision("Qwen2VL", tmp_path_factory.mktemp("models") / "vl")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A folder that the test may break."""
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_flat_config_as_the_hub_has_it_is_read(copy: Path) -> None:
    config: dict[str, Any] = json.loads((copy / "config.json").read_text())
    text = config.pop("text_config")
    config |= {key: value for key, value in text.items() if key not in OF_THE_TEXT}
    config |= {
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "rope_theta": 1e4,
        "sliding_window": 32768,
        "use_sliding_window": False,
    }
    (copy / "config.json").write_text(json.dumps(config))
    check_model(str(copy), EngineConfig(kv_cache_memory_bytes=1 << 20))
    checkpoint = load_checkpoint(str(copy), "auto")

    assert (checkpoint.vocab_size, checkpoint.max_model_len) == (1000, 4096)
    assert checkpoint.eos_token_ids == {2}


def test_how_images_are_processed_is_part_of_what_the_model_is(folder: Path, copy: Path) -> None:
    path = copy / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_mean": [0.5, 0.5, 0.5]}))

    one, other = (load_checkpoint(str(f), "auto").fingerprint(16) for f in (folder, copy))
    assert "model_digest" in str(one.difference(other))


def test_without_its_processor_it_is_refused_in_a_sentence(copy: Path) -> None:
    (copy / "preprocessor_config.json").unlink()

    with pytest.raises(SettingsError, match=r"no preprocessor_config\.json"):
        load_torch_runner(str(copy), EngineConfig())


def test_settings_that_it_cannot_keep_are_refused(folder: Path) -> None:
    with pytest.raises(SettingsError, match="--batch-invariant is not kept by a vision tower"):
        check_model(str(folder), EngineConfig(batch_invariant=True))
    with pytest.raises(SettingsError, match="--device cpu"):
        check_model(str(folder), EngineConfig(device="cuda"))


def test_the_tower_stays_as_it_is_and_the_language_model_is_swapped(folder: Path) -> None:
    needed("g++", "g++")
    checkpoint = load_checkpoint(str(folder), "auto")
    replace_modules(checkpoint)
    tower = tower_of(checkpoint.model)

    assert tower is not None
    assert any(type(module) is nn.Linear for module in tower.modules())
    for kernel in (KernelDecoderLayer, KernelLinear):
        assert not any(isinstance(module, kernel) for module in tower.modules())
        assert any(isinstance(module, kernel) for module in language_modules(checkpoint.model))
