"""A worker without what an extra brings says which, and how to get it."""

import sys
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from baton.core.extras import needing
from baton.engine.build import build_engine
from baton.engine.config import EngineConfig


def test_a_module_that_is_missing_is_a_sentence() -> None:
    with pytest.raises(SettingsError) as caught, needing("worker,vision", "seeing needs eyes"):
        import no_such_module_anywhere  # type: ignore[import-not-found]  # noqa: F401
    told = "seeing needs eyes (No module named 'no_such_module_anywhere'); "
    assert str(caught.value) == told + "pip install 'baton-serving[worker,vision]'"


def test_any_other_error_is_itself() -> None:
    with pytest.raises(ImportError, match="nothing"), needing("worker", "seeing needs eyes"):
        from sys import nothing  # type: ignore[attr-defined]  # noqa: F401


def test_a_worker_without_pytorch_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setitem(sys.modules, "baton.engine.runners.torch_runner", None)
    with pytest.raises(SettingsError, match=f"--model {tmp_path}: a worker needs PyTorch"):
        build_engine(str(tmp_path), EngineConfig())
