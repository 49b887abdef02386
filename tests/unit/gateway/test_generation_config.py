"""Where sampling defaults come from: the model's file, another one, none, and what overrides."""

import json
from pathlib import Path

import pytest

from baton.core.errors import SettingsError
from gateway.params.generation_config import NAME, GenerationDefaults, load_defaults


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return folder(tmp_path / "model", {"temperature": 0.5, "top_k": 20})


def folder(path: Path, values: dict[str, object]) -> Path:
    path.mkdir()
    (path / NAME).write_text(json.dumps(values))
    return path


def test_the_models_own_file_counts_by_default(model: Path) -> None:
    assert load_defaults(model) == GenerationDefaults(temperature=0.5, top_k=20)
    assert load_defaults(model / "none") == GenerationDefaults()


def test_no_file_may_be_wanted(model: Path) -> None:
    assert load_defaults(model, "vllm") == GenerationDefaults()


def test_another_folder_may_be_named(model: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "other", {"top_p": 0.25})
    assert load_defaults(model, str(other)) == GenerationDefaults(top_p=0.25)
    with pytest.raises(SettingsError, match=f"--generation-config {tmp_path}: there is no"):
        load_defaults(model, str(tmp_path))


def test_what_overrides_wins(model: Path) -> None:
    assert load_defaults(model, "auto", {"top_k": 3}) == GenerationDefaults(0.5, top_k=3)
    assert load_defaults(model, "vllm", {"top_k": 3}) == GenerationDefaults(top_k=3)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ({"typical_p": 1}, "--override-generation-config: typical_p is none of max_new_tokens,"),
        ({"temperature": -1}, "temperature is -1, which is out of range"),
        ({"temperature": "hot"}, "temperature is 'hot'"),
    ],
)
def test_a_wrong_override_is_one_sentence(
    model: Path, override: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_defaults(model, "auto", override)
