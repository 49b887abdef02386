"""What the engine's builder says where a model cannot be loaded at all."""

import sys
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig

pytestmark = pytest.mark.unit


def test_a_worker_without_torch_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setitem(sys.modules, "baton.engine.torch_runner", None)  # as if not importable
    with pytest.raises(SettingsError, match=r"baton-serving\[worker\]"):
        build_engine(str(tmp_path), EngineConfig())
