"""What the engine's builder says where a model cannot be loaded at all."""

import sys
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig
from baton.engine.loading.model_check import check_model

pytestmark = pytest.mark.unit


def test_a_worker_without_torch_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setitem(
        sys.modules, "baton.engine.runners.torch_runner", None
    )  # as if not importable
    with pytest.raises(SettingsError, match=r"baton-serving\[worker\]"):
        build_engine(str(tmp_path), EngineConfig())


def test_a_kind_that_is_not_served_is_named_before_its_weights_are_looked_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mixtral", "num_local_experts": 8}')
    with pytest.raises(SettingsError, match=r"'mixtral'.*mixture of experts"):
        check_model(str(tmp_path), EngineConfig())


def test_memory_is_counted_before_weights_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    check_model(str(tmp_path), EngineConfig(kv_cache_memory_bytes=1))
    monkeypatch.setattr("baton.engine.loading.model_check.available_memory", lambda: 1 << 30)
    with pytest.raises(SettingsError, match="3 workers need"):
        check_model(str(tmp_path), EngineConfig(), num_workers=3)
    with pytest.raises(SettingsError, match="a worker needs"):
        build_engine(str(tmp_path), EngineConfig())


def test_a_hash_model_has_nothing_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "baton_hash"}')
    monkeypatch.setattr("baton.engine.loading.model_check.available_memory", lambda: 0)
    check_model(str(tmp_path), EngineConfig())


def test_a_device_that_is_not_there_is_refused_before_a_weight_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(SettingsError, match="--device cuda:99 is not possible"):
        build_engine(str(tmp_path), EngineConfig(device="cuda:99"))


def test_a_stand_in_is_not_for_devices(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "baton_hash"}')
    with pytest.raises(SettingsError, match="a stand-in for the CPU alone"):
        build_engine(str(tmp_path), EngineConfig(device="cuda"))


def test_what_lies_on_a_device_is_not_counted_as_host_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    monkeypatch.setattr("baton.engine.loading.model_check.available_memory", lambda: 1 << 30)
    check_model(str(tmp_path), EngineConfig(device="cuda"))
    with pytest.raises(SettingsError, match="a worker needs"):
        check_model(str(tmp_path), EngineConfig(device="auto"))
